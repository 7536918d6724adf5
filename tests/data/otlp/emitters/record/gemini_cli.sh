#!/bin/sh
# npm @google/gemini-cli: `gemini` is on the PATH.
set -eu
export HOME="$(mktemp -d)"
export GEMINI_TELEMETRY_ENABLED=true GEMINI_TELEMETRY_TARGET=local
export GEMINI_TELEMETRY_OTLP_ENDPOINT="$RECORDER" GEMINI_TELEMETRY_OTLP_PROTOCOL=http
export GEMINI_TELEMETRY_LOG_PROMPTS=true GEMINI_TELEMETRY_TRACES_ENABLED=true
mkdir -p "$HOME/.gemini" "$HOME/work"
printf '{"security":{"auth":{"selectedType":"gemini-api-key"}}}' > "$HOME/.gemini/settings.json"
cd "$HOME/work"
exec gemini --model gemini-2.5-flash --yolo --skip-trust \
  --prompt "What is the weather in Paris?" < /dev/null

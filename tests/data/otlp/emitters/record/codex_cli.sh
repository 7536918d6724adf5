#!/bin/sh
# npm @openai/codex: `codex` is on the PATH.
set -eu
export CODEX_HOME="$(mktemp -d)" HOME="$(mktemp -d)"
cat > "$CODEX_HOME/config.toml" <<TOML
model = "gpt-5-codex"
model_provider = "recorded"
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.recorded]
name = "recorded"
base_url = "$OPENAI_BASE_URL"
env_key = "OPENAI_API_KEY"
wire_api = "responses"

[otel]
environment = "test"
log_user_prompt = true
exporter = { otlp-http = { endpoint = "$RECORDER/v1/logs", protocol = "binary" } }
trace_exporter = { otlp-http = { endpoint = "$RECORDER/v1/traces", protocol = "binary" } }
TOML
cd "$HOME"
exec codex exec --skip-git-repo-check "What is the weather in Paris?" < /dev/null

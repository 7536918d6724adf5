#!/bin/sh
# npm @anthropic-ai/claude-code: `claude` is on the PATH.
set -eu
export CLAUDE_CONFIG_DIR="$(mktemp -d)" HOME="$(mktemp -d)"
export CLAUDE_CODE_ENABLE_TELEMETRY=1 CLAUDE_CODE_ENHANCED_TELEMETRY_BETA=1
export OTEL_TRACES_EXPORTER=otlp OTEL_LOGS_EXPORTER=otlp OTEL_METRICS_EXPORTER=none
export OTEL_LOG_USER_PROMPTS=1 OTEL_LOG_ASSISTANT_RESPONSES=1
export OTEL_LOG_TOOL_DETAILS=1 OTEL_LOG_TOOL_CONTENT=1
export DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 IS_SANDBOX=1
cd "$HOME"
exec claude -p "What is the weather in Paris?" --model claude-sonnet-4-5 \
  --allowedTools Bash < /dev/null

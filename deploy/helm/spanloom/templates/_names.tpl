{{/* The name of every object: the release's, which has "spanloom" in it or in front. */}}
{{- define "spanloom.name" -}}
{{- if contains "spanloom" .Release.Name -}}
{{- .Release.Name | trunc 57 | trimSuffix "-" -}}
{{- else -}}
{{- printf "spanloom-%s" .Release.Name | trunc 57 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels by which pods are selected; they never change. */}}
{{- define "spanloom.selector" -}}
app.kubernetes.io/name: spanloom
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "spanloom.version" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "spanloom.labels" -}}
{{ include "spanloom.selector" . }}
app.kubernetes.io/version: {{ include "spanloom.version" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

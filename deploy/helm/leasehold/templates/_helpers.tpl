{{/* Name of everything of a release: the release's, with the chart's behind it unless it is in it already. */}}
{{- define "leasehold.name" -}}
{{- if or (contains "vault" .Release.Name) (contains "leasehold" .Release.Name) -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-leasehold" .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pod; it never changes. `app: vault` is what instructions written for Vault look for. */}}
{{- define "leasehold.selector" -}}
app: vault
app.kubernetes.io/name: leasehold
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "leasehold.labels" -}}
{{ include "leasehold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{/* Whether clients of the pod speak TLS. */}}
{{- define "leasehold.scheme" -}}
{{- if and (eq .Values.mode "standalone") .Values.standalone.tlsSecret -}}https{{- else -}}http{{- end -}}
{{- end -}}

{{- define "leasehold.claim" -}}
{{- .Values.standalone.volume.existingClaim | default (printf "%s-data" (include "leasehold.name" .)) -}}
{{- end -}}

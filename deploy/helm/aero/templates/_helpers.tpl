{{- define "aero.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "aero.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "aero.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of what belongs to one role: (dict "root" $ "role" $name). */}}
{{- define "aero.roleName" -}}
{{- if eq .role (include "aero.name" .root) -}}
{{- include "aero.fullname" .root -}}
{{- else -}}
{{- printf "%s-%s" (include "aero.fullname" .root) .role -}}
{{- end -}}
{{- end -}}

{{- define "aero.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/part-of: {{ include "aero.name" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* What selects the pods of one role and of nothing else. */}}
{{- define "aero.selector" -}}
app.kubernetes.io/name: {{ include "aero.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "aero.secretName" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-secrets" (include "aero.fullname" .)) -}}
{{- end -}}

{{- define "aero.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "aero.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "aero.tlsSecret" -}}
{{- .Values.ingress.tls.secretName | default (printf "%s-tls" (include "aero.fullname" .)) -}}
{{- end -}}

{{- define "aero.publicURL" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.tls.enabled) -}}http{{- else -}}https{{- end -}}://{{ .Values.host }}
{{- end -}}

{{/* Whether replicas or roles have to agree with each other. */}}
{{- define "aero.shared" -}}
{{- $count := 0 -}}
{{- range $name, $role := .Values.roles -}}
{{- if $role.enabled -}}
{{- $merged := mergeOverwrite (deepCopy $.Values.defaults) $role -}}
{{- $replicas := int $merged.replicas -}}
{{- if $merged.autoscaling.enabled -}}{{- $replicas = int $merged.autoscaling.maxReplicas -}}{{- end -}}
{{- $count = add $count $replicas -}}
{{- end -}}
{{- end -}}
{{- if gt (int $count) 1 -}}yes{{- end -}}
{{- end -}}

{{- define "aero.hasRedis" -}}
{{- if or .Values.redis.enabled .Values.redis.url .Values.redis.existingSecret -}}yes{{- end -}}
{{- end -}}

{{/* Whether a role relays datagrams. */}}
{{- define "aero.relays" -}}
{{- if has "relay" (splitList "," .services) -}}yes{{- end -}}
{{- end -}}

{{/* The services of all roles together. */}}
{{- define "aero.siteServices" -}}
{{- $all := list -}}
{{- range $name, $role := .Values.roles -}}
{{- if $role.enabled -}}{{- $all = concat $all (splitList "," $role.services) -}}{{- end -}}
{{- end -}}
{{- $all | uniq | join "," -}}
{{- end -}}

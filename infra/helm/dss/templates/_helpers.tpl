{{/* Names and labels.  `part` is portal, dispatch or inference; `name` is the object's own. */}}
{{- define "dss.name" -}}
{{- /* At most 24 characters: with -inference- and 28 of a worker's name, the 63 of a Service. */}}
{{- if contains "dss" (.Release.Name | trunc 24) }}{{ .Release.Name | trunc 24 | trimSuffix "-" }}{{ else }}{{ printf "%s-dss" (.Release.Name | trunc 20 | trimSuffix "-") }}{{ end -}}
{{- end }}

{{- define "dss.selector" -}}
app.kubernetes.io/name: dss
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .name }}
dss/name: {{ . }}
{{- end }}
{{- end }}

{{- define "dss.labels" -}}
{{ include "dss.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: dss
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* `cuda`: the worker's image with CUDA, which is another one. */}}
{{- define "dss.image" -}}
{{- $image := .root.Values.image }}
{{- $name := ternary "inference-cuda" .part (.cuda | default false) }}
{{- $digest := index $image.digests $name }}
{{- with $image.registry }}{{ . }}/{{ end }}dss-{{ $name }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{- define "dss.claim" -}}
{{ .Values.datastore.existingClaim | default (printf "%s-datastore" (include "dss.name" .)) }}
{{- end }}

{{/* YAML reads every number as a float, and 1.7e+10 is no integer to the programs. */}}
{{- define "dss.number" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{- define "dss.settings" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ include "dss.number" $value | quote }}}
{{- end }}
{{- end }}

{{/* Three quarters of a size such as 64Gi, in bytes: results and uploads are in the scratch folder, too. */}}
{{- define "dss.fetched" -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- div (mul (regexFind "^[0-9]+" .) (index $units (regexFind "[A-Z]i$" .)) 3) 4 -}}
{{- end }}

{{- define "dss.secret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .secret }}, key: {{ .key }}, optional: false}
{{- end }}

{{/* What every program is told. */}}
{{- define "dss.env" -}}
{{ include "dss.secret" (dict "name" "DSS_AMQP_URL" "secret" .root.Values.rabbitmq.existingSecret "key" (index .root.Values.rabbitmq.keys .part)) }}
{{- with .root.Values.datastore.s3 }}
{{- if .url }}
- {name: DSS_DATASTORE, value: ""}
- {name: DSS_DATASTORE_URL, value: {{ .url | quote }}}
- {name: DSS_S3_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: DSS_S3_REGION, value: {{ .region | quote }}}
- {name: DSS_SCRATCH, value: /scratch}
- {name: DSS_SCRATCH_BYTES, value: {{ include "dss.fetched" .scratchSize | quote }}}
{{- if $.root.Values.certificates.configMap }}
- {name: DSS_S3_CA_FILE, value: /etc/dss/certificates/ca.pem}
{{- end }}
{{- if .existingSecret }}
{{ include "dss.secret" (dict "name" "AWS_ACCESS_KEY_ID" "secret" .existingSecret "key" "access-key-id") }}
{{ include "dss.secret" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" .existingSecret "key" "secret-access-key") }}
{{- end }}
{{- else }}
- {name: DSS_DATASTORE, value: {{ include "dss.datastorePath" $ }}}
{{- end }}
{{- end }}
- {name: DSS_METRICS_BIND, value: "0.0.0.0:9100"}
- {name: DSS_LOG_JSON, value: "true"}
{{ include "dss.places" . }}
{{- with .root.Values.tracing.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* USER: MONAI asks for the user's name, which an arbitrary UID does not have. */}}
{{- define "dss.places" -}}
- {name: HOME, value: /tmp}
- {name: TMPDIR, value: /tmp}
- {name: USER, value: dss}
{{- if .root.Values.certificates.configMap }}
- {name: SSL_CERT_FILE, value: /etc/dss/certificates/ca.pem}
{{- end }}
{{- end }}

{{- define "dss.datastorePath" -}}
{{ if eq .part "portal" }}/app/datastore{{ else }}/datastore{{ end }}
{{- end }}

{{- define "dss.volumeMounts" -}}
{{- if .root.Values.datastore.s3.url }}
- {name: scratch, mountPath: /scratch}
{{- else }}
- {name: datastore, mountPath: {{ include "dss.datastorePath" . }}}
{{- end }}
- {name: temporary, mountPath: /tmp}
{{- if .root.Values.certificates.configMap }}
- {name: certificates, mountPath: /etc/dss/certificates, readOnly: true}
{{- end }}
{{- end }}

{{- define "dss.volumes" -}}
{{- if .root.Values.datastore.s3.url }}
- name: scratch
  emptyDir: {sizeLimit: {{ .root.Values.datastore.s3.scratchSize }}}
{{- else }}
- name: datastore
  persistentVolumeClaim: {claimName: {{ include "dss.claim" .root }}}
{{- end }}
- name: temporary
  emptyDir: {sizeLimit: {{ .temporarySize }}}
{{- with .root.Values.certificates }}
{{- if .configMap }}
- name: certificates
  configMap:
    name: {{ .configMap }}
    items: [{key: {{ .key }}, path: ca.pem}]
{{- end }}
{{- end }}
{{- end }}

{{/* restricted-v2 and the profile "restricted": no exception.  UID and groups are OpenShift's where they are blank. */}}
{{- define "dss.pod" -}}
serviceAccountName: {{ include "dss.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .root.Values.security.runAsUser }}
  runAsUser: {{ int64 . }}
  runAsGroup: 0
  {{- end }}
  {{- with .root.Values.security.fsGroup }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "dss.container" -}}
image: {{ include "dss.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Name of the port of metrics of a portal's process, from 0; every other program has the first only. */}}
{{- define "dss.metricsName" -}}
metrics{{ if . }}-{{ add 1 . }}{{ end -}}
{{- end }}

{{/* Number of processes of the part `part`, each with a port of metrics. */}}
{{- define "dss.processes" -}}
{{ ternary .root.Values.portal.processes 1 (eq .part "portal") }}
{{- end }}

{{/* `ready` is /readyz, or /healthz where readiness would wait for workers that an autoscaler took away. */}}
{{- define "dss.probes" -}}
startupProbe:
  {{ include "dss.probe" (dict "path" "/healthz" "processes" .processes) }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 120
livenessProbe:
  {{ include "dss.probe" (dict "path" "/healthz" "processes" .processes) }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  {{ include "dss.probe" (dict "path" .ready "processes" .processes) }}
  periodSeconds: 5
  timeoutSeconds: 10
  failureThreshold: 3
{{- end }}

{{/* A probe over HTTP asks one port only, so a program in the container asks those of several processes. */}}
{{- define "dss.probe" -}}
{{- if gt (int (.processes | default 1)) 1 -}}
exec: {command: [python, -m, dss_observability.health{{ if eq .path "/healthz" }}, --alive{{ end }}]}
{{- else -}}
httpGet: {path: {{ .path }}, port: metrics}
{{- end -}}
{{- end }}

{{/* A worker with what inference.* says for all of them.  JSON. */}}
{{- define "dss.worker" -}}
{{- mustMergeOverwrite (omit .root.Values.inference "workers" | deepCopy) (deepCopy (.worker | default dict)) | toJson }}
{{- end }}

{{- define "dss.service" -}}
{{- mustMergeOverwrite (omit .root.Values.dispatch "services" | deepCopy) (deepCopy (.service | default dict)) | toJson }}
{{- end }}

{{/* "yes" if some worker may be scaled down to zero. */}}
{{- define "dss.toZero" -}}
{{- range $name, $worker := .Values.inference.workers }}
{{- $w := include "dss.worker" (dict "root" $ "worker" $worker) | fromJson }}
{{- if and $w.autoscaling.enabled (eq (int $w.autoscaling.minReplicas) 0) }}yes{{ end }}
{{- end }}
{{- end }}

{{/* Names of the jobs of Prometheus that may have no target at this site, as a list in JSON. */}}
{{- define "dss.jobsWithoutTarget" -}}
{{- $workers := false }}
{{- range $name, $worker := .Values.inference.workers }}
{{- $w := include "dss.worker" (dict "root" $ "worker" $worker) | fromJson }}
{{- if or $w.autoscaling.enabled (gt (int $w.replicas) 0) }}{{ $workers = true }}{{ end }}
{{- end }}
{{- $dispatchers := false }}
{{- range $name, $service := .Values.dispatch.services }}
{{- if gt (int (include "dss.service" (dict "root" $ "service" $service) | fromJson).replicas) 0 }}{{ $dispatchers = true }}{{ end }}
{{- end }}
{{- $jobs := list }}
{{- if not $dispatchers }}{{ $jobs = append $jobs "dispatch" }}{{ end }}
{{- if or (include "dss.toZero" .) (not $workers) }}{{ $jobs = append $jobs "inference" }}{{ end }}
{{- if not .Values.monitoring.rabbitmq.matchLabels }}{{ $jobs = append $jobs "rabbitmq" }}{{ end }}
{{- $jobs | toJson }}
{{- end }}

{{/* Our labels or annotations `ours`, with those that the site gives, `own`, which go first. */}}
{{- define "dss.withOwn" -}}
{{- mustMergeOverwrite (deepCopy .ours) (deepCopy (.own | default dict)) | toYaml }}
{{- end }}

{{- define "dss.toServer" }}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

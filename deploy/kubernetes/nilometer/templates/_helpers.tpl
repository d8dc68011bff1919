{{- define "nilometer.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "nilometer.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "nilometer.selector" . }}
{{- end }}

{{- define "nilometer.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nilometer.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{- /* What every container of ours has; `.port` is that of its metrics, 0 for none. */ -}}
{{- define "nilometer.container" -}}
image: {{ include "nilometer.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: NILOMETER_CONFIG
    value: /etc/nilometer/config/nilometer.toml
  - name: NILOMETER_KAFKA__BOOTSTRAP_SERVERS
    value: {{ .Values.kafka.bootstrapServers | quote }}
  - name: NILOMETER_KAFKA__PREFIX
    value: {{ .Values.kafka.prefix | quote }}
  - name: NILOMETER_METRICS__HOST
    value: 0.0.0.0
  - name: NILOMETER_RELAY__HOST
    value: 0.0.0.0
  {{- with .Values.relay.alertmanagers }}
  - name: NILOMETER_RELAY__ALERTMANAGERS
    value: {{ . | quote }}
  {{- end }}
  {{- range $name, $from := .Values.secretEnv }}
  - name: {{ $name }}
    valueFrom:
      secretKeyRef: {{ toJson $from }}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: config, mountPath: /etc/nilometer/config, readOnly: true}
  {{- if .Values.tlsSecret }}
  - {name: tls, mountPath: /etc/nilometer/tls, readOnly: true}
  {{- end }}
{{- end }}

{{- /* What every pod of ours has, given the ConfigMap's name. */ -}}
{{- define "nilometer.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 512Mi}
  - name: config
    configMap: {name: {{ .configMap }}}
  {{- if .Values.tlsSecret }}
  - name: tls
    secret: {secretName: {{ .Values.tlsSecret }}, defaultMode: 0440}
  {{- end }}
{{- end }}

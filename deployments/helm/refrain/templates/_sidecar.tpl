{{/*
Refrain beside a service: an entry of the pod's `initContainers`. It takes a dict:

  image      repository:tag, or repository@digest
  config     the path of its configuration, below /etc/refrain, where the pod's volume `refrain` is mounted
  port       where the pod's Service leads
  admin      the port of its admin side, for probes and Prometheus
  upstream   what REFRAIN_UPSTREAM says: the service's URL, and NAME=URL for each other upstream, a list
  env        more variables, a list as in a container; those before REFRAIN_STORE can be used in it
  store      the store's URL; without it, the configuration's
  resources  of the container

    initContainers:
      {{- include "refrain.sidecar" (dict "image" .Values.refrain.image "config" "refrain.yaml" "port" 8080 "admin" 9090
          "upstream" (list "http://127.0.0.1:3000") "resources" .Values.refrain.resources) | nindent 6 }}
    terminationGracePeriodSeconds: {{ include "refrain.gracePeriod" . }}

The service listens on 127.0.0.1 alone and has a preStop hook that sleeps for 15 s: docs/kubernetes.md says why.
*/}}
{{- define "refrain.sidecar" -}}
- name: refrain
  image: {{ .image | quote }}
  # Native: it is there before the service starts, and is told to stop only when the service has stopped.
  restartPolicy: Always
  {{- include "refrain.container" . | nindent 2 }}
{{- end -}}

{{/* The same as the pod's only container: an entry of `containers`. */}}
{{- define "refrain.alone" -}}
- name: refrain
  image: {{ .image | quote }}
  # It is still sent requests until every node knows that it ends; then it drains.
  lifecycle:
    preStop: {sleep: {seconds: 15}}
  {{- include "refrain.container" . | nindent 2 }}
{{- end -}}

{{/* 15 s in which the service still answers, its own drain (5 s), Refrain's (limits.drain, 30 s), and some to spare. */}}
{{- define "refrain.gracePeriod" -}}60{{- end -}}

{{- define "refrain.container" -}}
args: [run]
ports:
  - {name: http, containerPort: {{ .port }}}
  - {name: admin, containerPort: {{ .admin }}}
env:
  - {name: REFRAIN_CONFIG, value: {{ printf "/etc/refrain/%s" .config | quote }}}
  - {name: REFRAIN_LISTEN, value: {{ printf "0.0.0.0:%d" (int .port) | quote }}}
  - {name: REFRAIN_ADMIN, value: {{ printf "0.0.0.0:%d" (int .admin) | quote }}}
  - {name: REFRAIN_UPSTREAM, value: {{ join " " .upstream | quote }}}
  {{- with .env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .store }}
  - {name: REFRAIN_STORE, value: {{ . | quote }}}
  {{- end }}
# Not /readyz: with a store that is away the pod would not even begin.
startupProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "refrain.securityContext" . | nindent 2 }}
volumeMounts:
  - {name: refrain, mountPath: /etc/refrain, readOnly: true}
{{- end -}}

{{/* What the restricted Pod Security Standard asks of a container. */}}
{{- define "refrain.securityContext" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

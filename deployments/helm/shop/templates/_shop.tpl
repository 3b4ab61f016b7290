{{/*
The services: the port of each on loopback (its Refrain is 100 above it, the admin side 1100), whom it calls, who calls it, the
sagas that its Refrain runs, and the number of its database in Redis. These are facts of the shop, not choices.
*/}}
{{- define "shop.services" -}}
orders: {port: 8001, calls: [auth, billing, notifications], callers: [edge], sagas: [create-order], number: 1}
billing: {port: 8002, calls: [auth], callers: [edge, orders, users], sagas: [], number: 2}
users: {port: 8003, calls: [auth, billing, notifications], callers: [edge], sagas: [register-user, login, logout], number: 3}
auth: {port: 8004, calls: [], callers: [edge, orders, billing, users], sagas: [], number: 4}
notifications: {port: 8005, calls: [], callers: [orders, users], sagas: [], number: 5}
{{- end -}}

{{- define "shop.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "shop.labels" -}}
{{ include "shop.selector" . }}
app.kubernetes.io/part-of: shop
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* What the pod of each service and of the edge has beside its containers. */}}
{{- define "shop.pod" -}}
serviceAccountName: {{ .name }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "refrain.gracePeriod" .root }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "shop.selector" . | nindent 8 }}
{{- end -}}

{{/* Annotations of a pod: a change of its configuration rolls it; the mesh leaves its admin side alone. */}}
{{- define "shop.annotations" -}}
checksum/refrain: {{ .config | sha256sum }}
{{- if .root.Values.istio.enabled }}
traffic.sidecar.istio.io/excludeInboundPorts: {{ .admin | quote }}
{{- end }}
{{- end -}}

{{/* Service, headless Service of the admin sides, ServiceAccount and PodDisruptionBudget of one Refrain. */}}
{{- define "shop.around" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  labels:
    {{- include "shop.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "shop.selector" . | nindent 4 }}
  ports:
    - {name: http, appProtocol: http, port: {{ .port }}, targetPort: http}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}-admin
  labels:
    {{- include "shop.labels" . | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "shop.selector" . | nindent 4 }}
  ports:
    - {name: http-admin, appProtocol: http, port: {{ .admin }}, targetPort: admin}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  labels:
    {{- include "shop.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels:
    {{- include "shop.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "shop.selector" . | nindent 6 }}
{{- end -}}

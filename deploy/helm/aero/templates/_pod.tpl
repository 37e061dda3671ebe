{{/* The pod of one role: (dict "root" $ "role" $name "values" $merged). */}}
{{- define "aero.pod" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $relays := include "aero.relays" $values -}}
{{- $hostNetwork := and $relays (eq $root.Values.udp.mode "hostNetwork") -}}
metadata:
  labels:
    {{- include "aero.labels" $root | nindent 4 }}
    {{- include "aero.selector" . | nindent 4 }}
  annotations:
    checksum/secrets: {{ toJson $root.Values.secrets | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "aero.serviceAccount" $root }}
  automountServiceAccountToken: false
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  # The drain, and five seconds.
  terminationGracePeriodSeconds: {{ max 30 (div (add (int $root.Values.shutdownGraceMs) 5999) 1000) }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: aero
      image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      {{- if and $relays (eq $root.Values.udp.mode "perReplica") }}
      # Each pod tells browsers the address of its own load balancer.
      command:
        - sh
        - -ec
        - |
          number=${POD_NAME##*-}
          WEBRTC_NAT_1TO1_IPS=$(echo "$UDP_ADDRESSES" | cut -d, -f$((number + 1)))
          export WEBRTC_NAT_1TO1_IPS
          exec twistd -n --pidfile= aero
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop:
            - ALL
      env:
        - name: AERO_DOMAIN
          value: {{ $root.Values.host | quote }}
        - name: AERO_SERVICES
          value: {{ $values.services | quote }}
        - name: AERO_SITE_SERVICES
          value: {{ include "aero.siteServices" $root | quote }}
        - name: AERO_TLS_MODE
          value: "off"
        - name: PORT
          value: {{ $root.Values.port | quote }}
        {{- with $values.listenVariable }}
        - name: {{ . }}
          value: {{ printf "0.0.0.0:%v" $root.Values.port | quote }}
        {{- end }}
        - name: PUBLIC_BASE_URL
          value: {{ include "aero.publicURL" $root | quote }}
        - name: ALLOWED_ORIGINS
          value: {{ include "aero.publicURL" $root | quote }}
        - name: TRUST_PROXY
          value: "1"
        - name: AERO_TRUSTED_PROXIES
          value: {{ join "," $root.Values.trustedProxies | quote }}
        - name: SHUTDOWN_GRACE_MS
          value: {{ $root.Values.shutdownGraceMs | int | quote }}
        # Whichever role answers, the origin has one header set.
        - name: AERO_EDGE_HEADERS
          value: "1"
        - name: AERO_WORKERS
          value: {{ $values.workers | quote }}
        {{- if $root.Values.redis.existingSecret }}
        - name: REDIS_URL
          valueFrom:
            secretKeyRef:
              name: {{ $root.Values.redis.existingSecret }}
              key: REDIS_URL
        {{- else if $root.Values.redis.url }}
        - name: REDIS_URL
          value: {{ $root.Values.redis.url | quote }}
        {{- else if $root.Values.redis.enabled }}
        - name: REDIS_URL
          value: {{ printf "redis://%s-redis:6379/0" (include "aero.fullname" $root) | quote }}
        {{- end }}
        {{- if and $relays (ne $root.Values.udp.mode "off") }}
        - name: WEBRTC_UDP_PORT_MIN
          value: {{ $root.Values.udp.portMin | int | quote }}
        - name: WEBRTC_UDP_PORT_MAX
          value: {{ $root.Values.udp.portMax | int | quote }}
        {{- if $hostNetwork }}
        - name: WEBRTC_NAT_1TO1_IPS
          valueFrom:
            fieldRef:
              fieldPath: status.hostIP
        {{- else }}
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: UDP_ADDRESSES
          value: {{ join "," $root.Values.udp.addresses | quote }}
        {{- end }}
        {{- end }}
        {{- range $name, $value := mergeOverwrite (deepCopy $root.Values.env) ($values.env | default dict) }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      envFrom:
        - secretRef:
            name: {{ include "aero.secretName" $root }}
      ports:
        - name: http
          containerPort: {{ $root.Values.port }}
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        initialDelaySeconds: 2
        periodSeconds: 5
      livenessProbe:
        httpGet:
          path: /healthz
          port: http
        initialDelaySeconds: 10
        periodSeconds: 10
        timeoutSeconds: 5
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - name: state
          mountPath: /data
        - name: tmp
          mountPath: /tmp
  volumes:
    # The keys come from the Secret, so nothing in here has to outlive the pod.
    - name: state
      emptyDir: {}
    - name: tmp
      emptyDir: {}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

# Starts the proxies and what stands behind and beside them: read by
# `benches/load/run`, which has the functions used here.
#
# Holds always: each proxy is given the same limits in time and as many kept
# connections, as far as it knows such settings; all listen on ports that the
# kernel chose, and their files are in a directory that ends with the run.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154

# Ports that are free now, for those who must be told one.
free_ports() {
    "$python" -c '
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("127.0.0.1", 0))
    print(each.getsockname()[1])' "$1"
}

# shellcheck disable=SC2046
set -- $(free_ports 10)
nginx_port=$1 nginx_tls_port=$2 asks_port=$3 auth_port=$4 gate_port=$5
tls_gate_port=$6 tls_gate_plain_port=$7 client_port=$8 cached_port=$9
shift 9

serve origin "$load" origin 127.0.0.1:0
origin=$address

if has tls; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -keyout "$work/key.pem" -out "$work/cert.pem" -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -addext basicConstraints=critical,CA:FALSE 2>"$work/openssl.log" || { cat "$work/openssl.log" >&2; exit 1; }
fi

# nginx.

# The large answers find room in memory, so that none goes through a file.
nginx_begins() {
    cat <<CONF
worker_processes 1;
daemon off;
pid $work/$1/pid;
error_log $work/$1/error.log;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 60s;
    client_body_temp_path $work/$1/b; proxy_temp_path $work/$1/p; fastcgi_temp_path $work/$1/f;
    uwsgi_temp_path $work/$1/u; scgi_temp_path $work/$1/s;
    upstream origin { server $origin; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 50s; }
    proxy_http_version 1.1;
    proxy_buffers 16 8k;
CONF
}

# A directive of a location takes the place of all that stand above it.
nginx_forwards() {
    cat <<CONF
            proxy_set_header Host \$http_host;
            proxy_set_header X-Forwarded-For \$remote_addr;
            proxy_set_header X-Forwarded-Proto \$scheme;
            proxy_set_header X-Forwarded-Host \$http_host;
            proxy_set_header X-Real-IP \$remote_addr;
            proxy_pass http://origin;
CONF
}

nginx_serves() {
    cat <<CONF
        location / {
            $2
            proxy_set_header Connection "";
            $(nginx_forwards)
        }
        location = /socket {
            $2
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection upgrade;
            $(nginx_forwards)
        }
        $1
CONF
}

start_nginx() {
    mkdir "$work/$1"
    start "$1" nginx -p "$work/$1" -e "$work/$1/error.log" -c "$work/$1.conf"
    await "$1" curl -s -o /dev/null "http://127.0.0.1:$2/"
}

{
    nginx_begins nginx
    echo "server { listen 127.0.0.1:$nginx_port; $(nginx_serves '' '') }"
    if has tls; then
        echo "server { listen 127.0.0.1:$nginx_tls_port ssl; ssl_certificate $work/cert.pem;
            ssl_certificate_key $work/key.pem; ssl_protocols TLSv1.2 TLSv1.3; $(nginx_serves '' '') }"
    fi
    echo "}"
} >"$work/nginx.conf"
start_nginx nginx "$nginx_port"
nginx=$pid

# The cheapest that can be asked: another nginx, which answers by itself.
{
    nginx_begins auth
    echo "server { listen 127.0.0.1:$auth_port; location / { add_header X-WeChat-OpenId oVisitor; return 204; } } }"
} >"$work/auth.conf"
start_nginx auth "$auth_port"
auth=$pid

{
    nginx_begins asks
    asking='location = /auth {
            internal;
            proxy_pass http://auth;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
        }'
    # shellcheck disable=SC2016
    asked='auth_request /auth;
            auth_request_set $openid $upstream_http_x_wechat_openid;
            proxy_set_header X-WeChat-OpenId $openid;'
    echo "upstream auth { server 127.0.0.1:$auth_port; keepalive 512; keepalive_requests 1000000000; }"
    echo "server { listen 127.0.0.1:$asks_port; $(nginx_serves "$asking" "$asked") } }"
} >"$work/asks.conf"
start_nginx asks "$asks_port"
asks=$pid

# Pingora.

serve plain "$load" plain 127.0.0.1:0 "$origin"
plain=$address plain_pid=$pid
serve control "$load" plain 127.0.0.1:0 "$origin"
control=$address control_pid=$pid
if has tls; then
    serve plain_tls "$load" plain 127.0.0.1:0 "$origin" "$work/cert.pem" "$work/key.pem"
    plain_tls=$address plain_tls_pid=$pid
fi

# Apache with mod_auth_openidc.

serve provider "$load" provider 127.0.0.1:0 100
provider=$address

# start_apache NAME PORT SESSION
start_apache() {
    mkdir "$work/$1"
    {
        echo "ServerRoot $work/$1"
        for module in mpm_event authn_core authz_core authz_user headers proxy proxy_http auth_openidc; do
            echo "LoadModule ${module}_module $modules/mod_$module.so"
        done
        # Whom it runs as once it has begun as root.
        [ "$(id -u)" -ne 0 ] || printf 'User www-data\nGroup www-data\n'
        cat <<CONF
DefaultRuntimeDir $work/$1
PidFile $work/$1/pid
ErrorLog $work/$1/error.log
ServerName 127.0.0.1
Listen 127.0.0.1:$2
StartServers 1
ServerLimit 1
ThreadLimit 64
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
Timeout 60
ProxyPreserveHost On
RequestHeader set X-Forwarded-Proto http
RequestHeader set X-Real-IP expr=%{REMOTE_ADDR}
OIDCProviderMetadataURL http://$provider/.well-known/openid-configuration
OIDCIDTokenSignedResponseAlg ES256
OIDCClientID load
OIDCClientSecret 0123456789abcdef0123456789abcdef
OIDCRedirectURI http://127.0.0.1:$2/callback
OIDCCryptoPassphrase 0123456789abcdef0123456789abcdef
OIDCSessionType $3
OIDCCacheType shm
OIDCSessionInactivityTimeout 43200
OIDCPassClaimsAs headers
<Location />
    AuthType openid-connect
    Require valid-user
</Location>
ProxyPass /socket http://$origin/socket upgrade=websocket
ProxyPass / http://$origin/
CONF
    } >"$work/$1.conf"
    start "$1" apache2 -D FOREGROUND -f "$work/$1.conf"
    await "$1" curl -s -o /dev/null "http://127.0.0.1:$2/"
}

start_apache client "$client_port" client-cookie
client=$pid
start_apache cached "$cached_port" server-cache
cached=$pid

# wxgate.

# start_wxgate NAME SCHEME HOST PORT: its table [server] continues on standard input.
start_wxgate() {
    mkdir "$work/$1"
    serve "$1_simulator" "$wxgate" simulate --listen 127.0.0.1:0 --callback-host "$3:$4" --app-secret 0123456789abcdef
    app_id=$(sed -n 's/^app_id *//p' "$work/$1_simulator.log")
    printf 0123456789abcdef >"$work/$1/app_secret"
    {
        printf '[server]\npublic_scheme = "%s"\nthreads = 1\nstate_dir = "state"\n' "$2"
        cat
        cat <<CONF
[limits]
logins_per_minute = 1000000
[log]
level = "warn"
[accounts.shop]
app_id = "$app_id"
app_secret = { file = "app_secret" }
callback_origin = "$2://$3:$4"
sandbox = true
open_base_url = "http://$address"
api_base_url = "http://$address"
[[routes]]
host = "$3"
upstream = "http://$origin"
account = "shop"
[[routes]]
host = "$3"
path = "/public"
upstream = "http://$origin"
auth = "none"
CONF
    } >"$work/$1/gateway.toml"
    start "$1" "$wxgate" run --config "$work/$1/gateway.toml"
}

# session_at ORIGIN COOKIE [CURL'S OPTIONS…]: logs in, and tells the cookies whose
# names begin so.
session_at() {
    at_origin=$1 named=$2
    shift 2
    : >"$work/jar"
    curl -s -L -o /dev/null -b "$work/jar" -c "$work/jar" -A MicroMessenger/8 -H 'Accept: text/html' "$@" "$at_origin/"
    sed 's/^#HttpOnly_//' "$work/jar" |
        awk -v named="$named" '$6 ~ "^(__Host-|__Secure-)?" named { printf "%s%s=%s", between, $6, $7; between = "; " }' >"$work/session"
    [ -s "$work/session" ] || fail "no session at $at_origin"
    cat "$work/session"
}

start_wxgate gate http 127.0.0.1 "$gate_port" <<CONF
listen = ["127.0.0.1:$gate_port"]
CONF
gate=$pid simulator=$address
await gate curl -s -f -o /dev/null "http://127.0.0.1:$gate_port/public"
session=$(session_at "http://127.0.0.1:$gate_port" wxgate_shop)
if has tls; then
    start_wxgate tls_gate https localhost "$tls_gate_port" <<CONF
listen = ["127.0.0.1:$tls_gate_plain_port"]
[server.tls]
listen = ["127.0.0.1:$tls_gate_port"]
certificates = [{ hosts = ["localhost"], cert = "$work/cert.pem", key = "$work/key.pem" }]
CONF
    tls_gate=$pid
    await tls_gate curl -s -f -o /dev/null --cacert "$work/cert.pem" "https://localhost:$tls_gate_port/public"
    tls_session=$(session_at "https://localhost:$tls_gate_port" wxgate_shop --cacert "$work/cert.pem")
fi
# From here on WeChat is as slow as the other provider.
curl -s -f -o /dev/null -d mood=slow -d ms=100 "http://$simulator/simulator/mood"

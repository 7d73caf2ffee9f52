#!/usr/bin/env bash
# A throw-away Active Directory for tests: a Samba domain controller on loopback, with accounts, keytabs and a CA.
#
#   ad.sh start DIR                    provision if DIR is new (about 15 s), run, make the accounts; prints `export` lines
#   ad.sh env   DIR                    prints the `export` lines again
#   ad.sh token DIR ACCOUNT [SPN]      one `Authorization: Negotiate` token of ACCOUNT, base64 (default SPN: HTTP/localhost)
#   ad.sh disable DIR ACCOUNT          disables an account
#   ad.sh expire DIR ACCOUNT           lets it end now
#   ad.sh live DIR ACCOUNT             takes both back
#   ad.sh rename DIR ACCOUNT NAME      gives it another sAMAccountName
#   ad.sh mail-group DIR GROUP ACCOUNT makes a group for mail with an account in it
#   ad.sh stop  DIR                    ends the controller; DIR stays and can be started again
#
# Needs root (ports 88, 389, 464, 636, 3268, 3269 on 127.0.0.1) and the Debian packages
#   samba samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind krb5-user ldb-tools ldap-utils attr
#   python3-samba python3-setproctitle openssl curl
#
# Accounts: user `dev-1` in line-7, line-7 in plant-a, plant-a in devices (nesting); computer `dev-2$` in devices;
# user `dev-3`, whose CN is `Line, (dev*) 3`, in `Odd, (unit*)`; user `stranger` in no group; `reader` may search; service `svc-http` owns HTTP/localhost (AES keys only);
# `svc-aes128` owns HTTP/aes128.fleet.test (AES-128 only); `svc-rc4` owns HTTP/rc4.fleet.test (RC4 only, to see it refused).
set -euo pipefail

realm=FLEET.TEST
base=dc=fleet,dc=test
packages_hint='apt-get install -y --no-install-recommends samba samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind krb5-user ldb-tools ldap-utils attr python3-samba python3-setproctitle'

die() { echo "ad.sh: $*" >&2; exit 1; }
usage() { sed -n '2,13p' "$0" | cut -c3-; exit 2; }
[ $# -ge 2 ] || usage
command=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
conf=$dir/dc/etc/smb.conf
sam=$dir/dc/private/sam.ldb
export KRB5_CONFIG=$dir/krb5.conf

tool() { samba-tool "$@" --configfile="$conf"; }
running() { [ -s "$dir/samba.pid" ] && kill -0 "$(cat "$dir/samba.pid")" 2>/dev/null; }

write_krb5_conf() {
  cat > "$dir/krb5.conf" <<EOF
[libdefaults]
  default_realm = $realm
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  # Only so that the RC4 refusal can be tested; a current client would not ask for it.
  allow_weak_crypto = true
  permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 arcfour-hmac
[realms]
  $realm = {
    kdc = 127.0.0.1:88
    admin_server = 127.0.0.1
  }
[domain_realm]
  localhost = $realm
  .fleet.test = $realm
EOF
}

# A CA and a certificate with subjectAltNames: the ones Samba makes for itself have none, and rustls looks at nothing else.
write_tls() {
  local tls=$dir/tls
  mkdir -p "$tls"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=Fleet Test CA' \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
    -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=dc1.fleet.test' \
    -keyout "$tls/dc.key" -out "$tls/dc.csr" 2>/dev/null
  printf '%s\n' 'subjectAltName=DNS:dc1.fleet.test,DNS:localhost,IP:127.0.0.1' 'basicConstraints=critical,CA:FALSE' \
    'keyUsage=critical,digitalSignature' 'extendedKeyUsage=serverAuth' > "$tls/dc.ext"
  openssl x509 -req -in "$tls/dc.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 3650 \
    -extfile "$tls/dc.ext" -out "$tls/dc.pem" 2>/dev/null
  chmod 600 "$tls"/*.key   # Samba refuses a key file others can read
}

provision() {
  command -v samba >/dev/null || die "samba is not installed: $packages_hint"
  openssl rand -hex 12 | sed 's/^/Aa1./' > "$dir/password"
  chmod 600 "$dir/password"
  samba-tool domain provision --realm=$realm --domain=FLEET --server-role=dc --dns-backend=NONE \
    --adminpass="$(cat "$dir/password")" --targetdir="$dir/dc" --host-name=dc1 --host-ip=127.0.0.1 \
    --option='interfaces=lo' --option='bind interfaces only=yes' > "$dir/provision.log" 2>&1 \
    || { tail -5 "$dir/provision.log" >&2; rm -rf "$dir/dc"; die 'provisioning failed'; }
  write_krb5_conf
  write_tls
  # Directory and KDC only; no file sharing, no NetBIOS; logs, pid and sockets stay in DIR.
  sed -i -e '/^[[:space:]]*\(server services\|log file\|panic action\)[[:space:]]*=/d' \
         -e "s|^\[global\]|&\n\tserver services = ldap, cldap, kdc\n\tdcerpc endpoint servers = -winreg -srvsvc\n\tpid directory = $dir\n\tncalrpc dir = $dir/ncalrpc\n\tlog file = $dir/samba.log\n\ttls enabled = yes\n\ttls cafile = $dir/tls/ca.pem\n\ttls certfile = $dir/tls/dc.pem\n\ttls keyfile = $dir/tls/dc.key|" "$conf"
}

# Straight into the database, before the controller runs: no authentication, no waiting.
set_enctypes() { # account, bits (4 = RC4, 8 = AES-128, 16 = AES-256)
  local dn
  dn=$(ldbsearch -H "$sam" "(sAMAccountName=$1)" dn 2>/dev/null | sed -n 's/^dn: //p' | head -1)
  printf 'dn: %s\nchangetype: modify\nreplace: msDS-SupportedEncryptionTypes\nmsDS-SupportedEncryptionTypes: %s\n' "$dn" "$2" \
    | ldbmodify -H "$sam" > /dev/null
}
keytab() { # file, principal
  rm -f "$1"
  tool domain exportkeytab "$1" --principal="$2" >> "$dir/accounts.log" 2>&1
  chmod 600 "$1"
}
accounts() {
  local password name
  password=$(cat "$dir/password")
  {
    for name in dev-1 stranger reader svc-http svc-aes128 svc-rc4; do tool user create "$name" "$password"; done
    # A name that must be escaped, in the DN as well as in a search filter.
    printf '%s\n' "dn: CN=Line\\, (dev*) 3,CN=Users,$base" 'objectClass: user' 'sAMAccountName: dev-3' '' \
      "dn: CN=Odd\\, (unit*),CN=Users,$base" 'objectClass: group' 'sAMAccountName: odd-unit' \
      "member: CN=Line\\, (dev*) 3,CN=Users,$base" | ldbadd -H "$sam"
    tool computer create dev-2   # disabled and without keys until it has a password
    for name in dev-3 'dev-2$'; do tool user setpassword "$name" --newpassword="$password"; tool user enable "$name"; done
    for name in dev-1 dev-3 stranger reader svc-http svc-aes128 svc-rc4; do tool user setexpiry "$name" --noexpiry; done
    for name in devices plant-a line-7; do tool group add "$name"; done
    tool group addmembers devices 'plant-a,dev-2$'
    tool group addmembers plant-a line-7
    tool group addmembers line-7 dev-1
    tool spn add HTTP/localhost svc-http
    tool spn add HTTP/aes128.fleet.test svc-aes128
    tool spn add HTTP/rc4.fleet.test svc-rc4
  } > "$dir/accounts.log" 2>&1 || { tail -5 "$dir/accounts.log" >&2; die 'could not make the accounts'; }
  if grep -q '^ERROR' "$dir/accounts.log"; then grep '^ERROR' "$dir/accounts.log" >&2; die 'could not make the accounts'; fi
  set_enctypes svc-http 24
  set_enctypes svc-aes128 8
  set_enctypes svc-rc4 4
  for name in dev-1 'dev-2$' dev-3 stranger; do set_enctypes "$name" 24; done
  keytab "$dir/http.keytab" HTTP/localhost
  keytab "$dir/aes128.keytab" HTTP/aes128.fleet.test
  keytab "$dir/rc4.keytab" HTTP/rc4.fleet.test
  for name in dev-1 'dev-2$' dev-3 stranger; do keytab "$dir/$name.keytab" "$name"; done
}

wait_until_ready() {
  for _ in $(seq 150); do
    if ldapsearch -x -H ldap://127.0.0.1 -b '' -s base defaultNamingContext > /dev/null 2>&1 \
      && (exec 3<> /dev/tcp/127.0.0.1/88) 2>/dev/null && (exec 3<> /dev/tcp/127.0.0.1/636) 2>/dev/null; then return; fi
    running || { tail -5 "$dir/samba.log" >&2; die 'samba ended while starting'; }
    sleep 0.2
  done
  die "samba does not answer; see $dir/samba.log"
}

print_env() {
  cat <<EOF
export KRB5_CONFIG=$dir/krb5.conf
export AD_REALM=$realm
export AD_BASE=$base
export AD_LDAPS_URL=ldaps://localhost:636
export AD_CA=$dir/tls/ca.pem
export AD_BIND_DN=cn=reader,cn=users,$base
export AD_PASSWORD_FILE=$dir/password
export AD_SPN=HTTP/localhost
export AD_KEYTAB=$dir/http.keytab
export AD_KEYTAB_AES128=$dir/aes128.keytab
export AD_KEYTAB_RC4=$dir/rc4.keytab
EOF
}

# What `curl --negotiate` sends. The listener answers one request and prints its header.
token() {
  local account=$1 spn=${2:-HTTP/localhost} host cache listener port
  host=${spn#*/}
  [ -s "$dir/$account.keytab" ] || die "no keytab of $account in $dir"
  cache=$(mktemp -d "$dir/token.XXXXXX")
  export KRB5CCNAME=FILE:$cache/cc
  kinit -k -t "$dir/$account.keytab" "$account@$realm"
  python3 - "$cache/header" > "$cache/port" <<'PY' &
import http.server, sys
class Once(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        open(sys.argv[1], "w").write(self.headers.get("Authorization", ""))
        self.send_response(401 if not self.headers.get("Authorization") else 200)
        if not self.headers.get("Authorization"): self.send_header("WWW-Authenticate", "Negotiate")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Once)
server.timeout = 10
print(server.server_address[1], flush=True)
server.handle_request()
PY
  listener=$!
  for _ in $(seq 50); do [ -s "$cache/port" ] && break; sleep 0.1; done
  port=$(cat "$cache/port")
  curl -s -o /dev/null --max-time 10 --noproxy '*' --negotiate -u : --resolve "$host:$port:127.0.0.1" "http://$host:$port/" || true
  wait "$listener" || true
  sed -n 's/^Negotiate //p' "$cache/header" > "$cache/token"
  [ -s "$cache/token" ] || { rm -rf "$cache"; die "curl sent no token for $spn (klist: is the service known?)"; }
  cat "$cache/token"
  rm -rf "$cache"
}

changed() { "$@" >> "$dir/accounts.log" 2>&1 || { tail -5 "$dir/accounts.log" >&2; die "failed: $*"; }; }

rename() { # account, its new sAMAccountName
  local dn
  dn=$(ldbsearch -H "$sam" "(sAMAccountName=$1)" dn 2>/dev/null | sed -n 's/^dn: //p' | head -1)
  printf 'dn: %s\nchangetype: modify\nreplace: sAMAccountName\nsAMAccountName: %s\n' "$dn" "$2" | ldbmodify -H "$sam"
}

stop() {
  running || { rm -f "$dir/samba.pid"; return 0; }
  local pid
  pid=$(cat "$dir/samba.pid")
  kill "$pid"
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -0 "$pid" 2>/dev/null && die "samba (pid $pid) does not end"
  rm -f "$dir/samba.pid"
}

case $command in
  start)
    [ "$(id -u)" = 0 ] || die 'needs root for ports below 1024'
    if [ ! -e "$dir/ready" ]; then
      rm -rf "$dir/dc"
      provision
      accounts
      touch "$dir/ready"
    fi
    if ! running; then
      for port in 88 389 636; do
        if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null; then die "port $port is taken by something else"; fi
      done
      rm -f "$dir/samba.pid"
      samba -D --configfile="$conf" < /dev/null > /dev/null 2>&1
      for _ in $(seq 50); do [ -s "$dir/samba.pid" ] && break; sleep 0.1; done
    fi
    wait_until_ready
    print_env ;;
  env) print_env ;;
  token) [ $# -ge 3 ] || usage; token "$3" "${4:-}" ;;
  disable) [ $# -ge 3 ] || usage; changed tool user disable "$3" ;;
  expire) [ $# -ge 3 ] || usage; changed tool user setexpiry "$3" --days=0 ;;
  live) [ $# -ge 3 ] || usage; changed tool user setexpiry "$3" --noexpiry; changed tool user enable "$3" ;;
  rename) [ $# -ge 4 ] || usage; changed rename "$3" "$4" ;;
  mail-group)
    [ $# -ge 4 ] || usage
    changed tool group add "$3" --group-type=Distribution
    changed tool group addmembers "$3" "$4" ;;
  stop) stop ;;
  *) usage ;;
esac

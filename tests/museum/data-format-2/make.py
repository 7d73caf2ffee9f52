#!/usr/bin/env python3
"""Makes the data folder of this place with a landfall of store format 2: make.py LANDFALL VECTORS OUT

VECTORS is tests/vectors, and tests/museum/0.1.0 stands beside it. OUT gets data.tar.gz (the data folder without cache/), devices.json (devices that can come back,
with their keys) and expected.json (what the management API said of everything before the server was stopped).
Needs Python's cryptography package. Everything in it is for tests; no key in it opens anything else.
"""
import atexit, base64, datetime, hashlib, hmac, json, os, pathlib, shutil, ssl, subprocess, sys, tempfile, time, urllib.parse
import http.client
import http.server
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LANDFALL, VECTORS, OUT = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
WORK = pathlib.Path(tempfile.mkdtemp())
DATA = WORK / "data"
MANAGEMENT, DEVICES, PROVIDER = 39571, 39572, 39573
BEGIN = datetime.datetime(2026, 1, 1)
END = datetime.datetime(2099, 1, 1)


def run(*words):
    done = subprocess.run([LANDFALL, *map(str, words), "--data", str(DATA)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words}: {done.stdout}{done.stderr}")
    return done.stdout


def name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certificate(common, key, issuer, issuer_key, ca, serial=None, path_length=None, host=None):
    made = (
        x509.CertificateBuilder().subject_name(name(common)).issuer_name(issuer).public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number()).not_valid_before(BEGIN).not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca, path_length if ca else None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
        .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True)
    )
    if host:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    elif not ca:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    return made.sign(issuer_key, hashes.SHA256())


class Authority:
    def __init__(self, common, issuer=None, path_length=1):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(common)
        above = issuer or self
        self.certificate = certificate(common, self.key, above.name, above.key, True, path_length=path_length)

    def device(self, common, serial=None):
        key = ec.generate_private_key(ec.SECP256R1())
        return certificate(common, key, self.name, self.key, False, serial), key

    def list(self, number, serials):
        made = (
            x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(BEGIN).next_update(END)
            .add_extension(x509.CRLNumber(number), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        for serial in serials:
            made = made.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(BEGIN).build())
        return made.sign(self.key, hashes.SHA256())


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def digest(thing):
    return hashlib.sha256(thing.public_bytes(serialization.Encoding.DER)).hexdigest()


def key_pem(key):
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def file(called, text):
    path = WORK / called
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    return path


def storage_root_key():
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n.to_bytes(256, "big")
    public = bytes.fromhex("0001000b000304720000") + bytes.fromhex("0006008000430010080000000000")
    public += len(modulus).to_bytes(2, "big") + modulus
    return len(public).to_bytes(2, "big") + public


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """An identity provider on this machine: what it is, and its one key."""

    def __init__(self):
        self.authority = Authority("Museum Provider CA")
        self.issuer = f"https://localhost:{PROVIDER}/museum"
        self.key = ec.generate_private_key(ec.SECP256R1())
        place = ec.generate_private_key(ec.SECP256R1())
        made = certificate("localhost", place, self.authority.name, self.authority.key, False, host="localhost")
        numbers = self.key.public_key().public_numbers()
        key = {"kty": "EC", "crv": "P-256", "kid": "museum-1", "alg": "ES256", "use": "sig",
               "x": base64url(numbers.x.to_bytes(32, "big")), "y": base64url(numbers.y.to_bytes(32, "big"))}
        answers = {
            "/museum/.well-known/openid-configuration": {"issuer": self.issuer, "jwks_uri": self.issuer + "/keys",
                                                         "id_token_signing_alg_values_supported": ["ES256"]},
            "/museum/keys": {"keys": [key]},
        }

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(answers.get(self.path, {})).encode()
                self.send_response(200 if self.path in answers else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        file("provider.key", key_pem(place))
        context.load_cert_chain(file("provider.pem", pem(made)), WORK / "provider.key")
        server = http.server.ThreadingHTTPServer(("localhost", PROVIDER), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def token(self, subject):
        head = {"alg": "ES256", "kid": "museum-1", "typ": "JWT"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "urn:landfall", "sub": subject, "iat": now, "nbf": now, "exp": now + 1800}
        text = base64url(json.dumps(head).encode()) + "." + base64url(json.dumps(claims).encode())
        r, s = utils.decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return "Bearer " + text + "." + base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def endorsement_key():
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n.to_bytes(256, "big")
    policy = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
    public = bytes.fromhex("0001000b000300b2") + len(policy).to_bytes(2, "big") + policy
    public += bytes.fromhex("0006008000430010080000000000") + len(modulus).to_bytes(2, "big") + modulus
    return len(public).to_bytes(2, "big") + public


def sas(scope, device, key):
    resource, end = urllib.parse.quote(f"{scope}/registrations/{device}", safe=""), int(time.time()) + 3000
    signed = hmac.new(key, f"{resource}\n{end}".encode(), hashlib.sha256).digest()
    sig = urllib.parse.quote(base64.b64encode(signed), safe="")
    return f"SharedAccessSignature sr={resource}&sig={sig}&se={end}&skn=registration"


def register(scope, device, chain=None, key=None, token=None, payload=None, tpm=None):
    context = ssl.create_default_context(cafile=str(DATA / "tls/ca.pem"))
    if chain:
        context.load_cert_chain(file("chain.pem", "".join(chain)), file("chain.key", key))
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = token
    body = {"registrationId": device}
    if payload is not None:
        body["payload"] = payload
    if tpm is not None:
        body["tpm"] = {name: base64.b64encode(area).decode() for name, area in tpm.items()}
    call = http.client.HTTPSConnection("localhost", DEVICES, context=context)
    path = f"/{scope}/registrations/{device}"
    call.request("PUT", path + "/register?api-version=2021-06-01", json.dumps(body), headers)
    answer = call.getresponse()
    told, status = json.loads(answer.read()), answer.status
    for _ in range(200):
        if status != 202:
            break
        time.sleep(0.1)
        call.request("GET", f"{path}/operations/{told['operationId']}?api-version=2021-06-01", None, headers)
        answer = call.getresponse()
        told, status = json.loads(answer.read()), answer.status
    return status, told


def get(path):
    context = ssl.create_default_context(cafile=str(DATA / "tls/ca.pem"))
    call = http.client.HTTPSConnection("localhost", MANAGEMENT, context=context)
    bearer = (DATA / "operator.token").read_text().strip()
    call.request("GET", "/api/v1" + path, None, {"Authorization": "Bearer " + bearer})
    answer = call.getresponse()
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"GET {path}: {answer.status} {text}")
    return json.loads(text)


run("init", "--hostname", "localhost")
toml = (DATA / "landfall.toml").read_text()
scope = toml.split('scope = "')[1].split('"')[0]
shutil.copy(VECTORS / "kerberos/http.keytab", DATA / "http.keytab")
root = Authority("Museum Factory CA", path_length=2)
(DATA / "ldap-ca.pem").write_text(pem(root.certificate))
(DATA / "ldap.password").write_text("nobody asks")
toml = "\n".join(
    f'device_listen = "127.0.0.1:{DEVICES}"' if line.startswith("device_listen")
    else f'management_listen = "127.0.0.1:{MANAGEMENT}"' if line.startswith("management_listen") else line
    for line in toml.splitlines())
before, after = toml.split("[passwords]\n", 1)
toml = before + "[passwords]\n" + after.replace("# enabled = false", "enabled = true", 1) + """
[directory.fleet]
keytab = "http.keytab"
ldaps = "ldaps://localhost:1"
ca_file = "ldap-ca.pem"
base = "DC=example,DC=com"
bind_dn = "CN=nobody,DC=example,DC=com"
password_file = "ldap.password"
"""
(DATA / "landfall.toml").write_text(toml)
server = subprocess.Popen([LANDFALL, "serve", "--data", str(DATA)])
atexit.register(server.kill)
for _ in range(600):
    try:
        get("/scopes")
        break
    except OSError:
        if server.poll() is not None:
            sys.exit("the server does not start")
        time.sleep(0.5)

for hub, words in {"hub-eu.example": ["--weight", "3", "--capacity", "100"], "hub-us.example": ["--capacity", "50"]}.items():
    run("hub", "link", hub, *words)
run("hub", "link", "hub-old.example", "--capacity", "10")
run("hub", "drain", "hub-old.example")

line = Authority("Museum Line 3", root, path_length=0)
second = Authority("Museum Second CA")
for called, authority in {"factory": root, "second": second}.items():
    run("ca", "upload", called, file("ca.pem", pem(authority.certificate)))
    code = run("ca", "code", called).split()[0]
    run("ca", "verify", called, file("proof.pem", pem(authority.device(code)[0])))
run("ca", "upload", "unproven", file("ca.pem", pem(Authority("Museum Unproven CA").certificate)))
devices = {}
chip = {"endorsementKey": endorsement_key(), "storageRootKey": storage_root_key()}


def make(device, authority, above=(), serial=None):
    made, key = authority.device(device, serial)
    chain = [pem(made)] + [pem(one.certificate) for one in above]
    devices[device] = {"chain": chain, "key": key_pem(key), "sha256": digest(made)}
    return devices[device]


for number in range(1, 6):
    make(f"pump-{number}", root, serial=0x1000 + number)
make("press-1", line, [line], serial=0x2001)
make("valve-1", second, serial=0x3001)
make("pinned-1", Authority("Museum Other CA"))
run("ca", "revoke", "factory", "--serial", "1004", "--serial", "5000..5FFF")
run("ca", "crl", "factory", file("list.pem", pem(root.list(7, [0x1005]))))
run("ca", "crl", "factory", "--when-stale", "warn")

places = '{"rules": [{"group": ["{fact.site}"], "tags": {"from": "table"}}]}'
run("group", "put", "pumps", "--ca", "factory", "--secondary-ca", "second", "--grouping", f"table={places}",
    "--manufacturer", "acme", "--initial-twin", '{"tags": {"a": {"b": [1, 2.5, null]}}, "desired": {"rate": 5}}')
run("group", "put", "presses", "--intermediate", file("line.pem", pem(line.certificate)), "--hub", "hub-us.example")
keys = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
run("group", "put", "meters", "--symmetric-key", "--primary-key", file("one.key", keys[0]), "--secondary-key",
    file("two.key", keys[1]), "--manufacturing", "optional", "--fallback", "fixed={\"hub\": \"hub-us.example\"}")
provider = Provider()
run("plugin", "publish", "ours", VECTORS.parent / "museum/0.1.0/selector.wasm")
run("plugin", "publish", "ours", VECTORS.parent / "museum/0.1.0/policy.wasm")
run("group", "put", "badges", "--token-issuer", provider.issuer, "--token-audience", "urn:landfall", "--token-ca",
    file("provider-ca.pem", pem(provider.authority.certificate)), "--manufacturing", "optional")
run("group", "put", "sensors", "--token-issuer", "https://login.example.com/tenant", "--token-audience", "urn:landfall",
    "--token-claim", "tier=2", "--token-max-minutes", "60", "--key-change", "allow", "--keep-hub")
run("group", "put", "stations", "--directory", "fleet", "--directory-group", "Plant-A", "--accounts", "computers")
maker = subprocess.run(["openssl", "x509", "-inform", "DER", "-in", str(VECTORS / "tpm-swtpm/root.der")],
                       capture_output=True, text=True, check=True).stdout
between = subprocess.run(["openssl", "x509", "-inform", "DER", "-in", str(VECTORS / "tpm-swtpm/issuer.der")],
                         capture_output=True, text=True, check=True).stdout
run("group", "put", "gateways", "--tpm-maker", file("maker.pem", maker), "--tpm-intermediates", file("i.pem", between))
run("group", "put", "closed", "--symmetric-key", "--disabled")

run("enrollment", "put", "pinned-1", "--certificate", file("p.pem", devices["pinned-1"]["chain"][0]), "--device-id", "named")
run("enrollment", "put", "meter-7", "--symmetric-key", "--primary-key", file("one.key", keys[1]), "--secondary-key",
    file("two.key", keys[0]))
run("enrollment", "put", "chip-1", "--endorsement-key", file("ek.pub", chip["endorsementKey"]))
run("enrollment", "put", "kiosk-1", "--password-file", file("word", "correct horse"), "--username", "kiosk")

for role, words in {"manufacturer": ["--manufacturer", "acme", "--quota", "1000"], "publisher": [], "auditor": []}.items():
    run("token", "create", "--role", role, *words, "--note", f"museum {role}", "--out", DATA / f"{role}.token")
run("token", "create", "--role", "operator", "--note", "museum ended", "--out", DATA / "ended.token")
ended = next(token for token in get("/tokens")["items"] if token["note"] == "museum ended")
run("token", "revoke", ended["id"])

records = [{"registrationId": f"pump-{n}", "certificateSha256": devices[f"pump-{n}"]["sha256"],
            "facts": {"site": ["oslo", "rome"][n % 2], "model": "P7"}} for n in range(1, 6)]
records += [{"registrationId": "press-1", "facts": {"site": "line 3"}}, {"registrationId": "pinned-1", "facts": {}},
            {"registrationId": "valve-1", "facts": {"site": "oslo"}}, {"registrationId": "meter-7", "facts": {}},
            {"registrationId": "gone-1", "facts": {}}, {"registrationId": "held-1", "facts": {}}]
run("registry", "import", file("acme.jsonl", "".join(json.dumps(r) + "\n" for r in records)), "--manufacturer", "acme")
run("registry", "import", file("bolt.csv", "registrationId,fact.site\nbolt-1,bern\nbolt-2,bern\n"), "--manufacturer", "bolt")
run("registry", "state", "gone-1", "retired")
run("registry", "state", "held-1", "quarantined")

told = {}
for device in ["pump-1", "pump-2", "pump-3", "press-1", "valve-1", "pinned-1", "pump-4", "pump-5"]:
    made = devices[device]
    status, answer = register(scope, device, made["chain"], made["key"], payload={"firmware": "1.2", "pi": 3.0})
    told[device] = [status, answer]
status, answer = register(scope, "pump-1", devices["pump-1"]["chain"], devices["pump-1"]["key"])
told["pump-1"] = [status, answer]
own = hmac.new(base64.b64decode(keys[0]), b"meter-1", hashlib.sha256).digest()
told["meter-1"] = list(register(scope, "meter-1", token=sas(scope, "meter-1", own)))
told["meter-7"] = list(register(scope, "meter-7", token=sas(scope, "meter-7", base64.b64decode(keys[1]))))
told["badge-1"] = list(register(scope, "badge-1", token=provider.token("badge-1")))
challenged = register(scope, "chip-1", tpm=chip)
assert challenged[0] == 401 and "authenticationKey" in challenged[1], challenged
assert [told[d][0] for d in ("pump-4", "pump-5")] == [401, 401], told
assert all(told[d][0] == 200 and told[d][1]["status"] == "assigned" for d in told if d not in ("pump-4", "pump-5")), told
devices["meter-1"], devices["meter-7"] = {"sharedKey": base64.b64encode(own).decode()}, {"sharedKey": keys[1]}
run("registration", "release", "pump-3")
run("registration", "delete", "press-1", "--yes")
time.sleep(1)

expected = {}
of = f"/scopes/{scope}"
for path in ["/scopes", "/tokens"] + [of + part for part in
        ["/hubs", "/authorities", "/enrollment-groups", "/enrollments", "/records", "/registrations", "/plugins"]]:
    expected[path] = get(path)
for hub in expected[of + "/hubs"]["items"]:
    expected[f"{of}/hubs/{hub['name']}"] = get(f"{of}/hubs/{hub['name']}")
for registration in expected[of + "/registrations"]["items"]:
    path = "/decisions/" + get(f"{of}/registrations/{registration['registrationId']}")["decision"]
    expected[path] = get(path)
for device in ("pump-4", "pump-5"):
    path = "/decisions/" + told[device][1]["trackingId"]
    expected[path] = get(path)
server.terminate()
server.wait()

OUT.mkdir(exist_ok=True)
(OUT / "devices.json").write_text(json.dumps({"scope": scope, "devices": devices}, indent=1) + "\n")
(OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
shutil.rmtree(DATA / "cache")
subprocess.run(["tar", "-C", str(DATA), "--owner=0", "--group=0", "--numeric-owner", "-cf", str(WORK / "data.tar"), "."], check=True)
with open(OUT / "data.tar.gz", "wb") as out:
    subprocess.run(["gzip", "-9n", "-c", str(WORK / "data.tar")], stdout=out, check=True)
shutil.rmtree(WORK)

"""How many weaknesses do the secure-coding rules find, how often are they wrong, and what do they cost? Samples made from templates.

Each weakness has statements that show it and statements that look alike and are fine; none is a rule's own example. They are
put under several names, into functions, methods and branches, over several lines, and behind aliases (``import os as o``), which
rules that read syntax do not follow: their recall is told apart. Installed packages stand for text that is presumably fine.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from dovetail.serve.edit.policy.rules import pack
from dovetail.serve.govern.findings.outside import scan_code
from dovetail.serve.govern.findings.rules import RuleSet

RULES = RuleSet(pack("default"))
NAMES = ("value", "user_input", "payload", "item", "raw")
PACKAGES = (
    "attr",
    "click",
    "fastapi",
    "httpx",
    "jinja2",
    "pydantic",
    "rich",
    "starlette",
    "typer",
    "uvicorn",
    "httpcore",
    "msgspec",
)


class Weakness(NamedTuple):
    """Statements of a language; N stands for a name. ``alike``: weaknesses that say the same."""

    language: str
    cwe: str
    bad: tuple[str, ...]
    good: tuple[str, ...]
    alike: tuple[str, ...] = ()


WEAKNESSES = (
    Weakness("python", "CWE-95", ("result = eval(N, scope)", "exec(compile(N, 'x', 'exec'))"), ("result = int(N)", "frame.eval('N > 1')")),
    Weakness(
        "python",
        "CWE-78",
        ("os.system('tar xf ' + N)", "subprocess.check_output('git log ' + N, shell=True)", "os.popen(f'cat {N}').read()", "subprocess.Popen(N, stdout=PIPE, shell=True)"),
        ("subprocess.check_output(['git', 'log', N])", "subprocess.run(['tar', 'xf', N], check=True)", "shell = True", "os.path.join(N, 'x')"),
    ),
    Weakness(
        "python",
        "CWE-89",
        ("db.execute(f\"SELECT id FROM t WHERE n = '{N}'\")", "cursor.execute('DELETE FROM log WHERE id = %s' % N)", "rows = conn.execute('SELECT a FROM b WHERE c = ' + N).fetchall()", "statement = f'UPDATE t SET a = {N} WHERE b = 1'\ndb.execute(statement)", "parts = ['SELECT a FROM t WHERE b =', N]\ncursor.execute(' '.join(parts))"),
        ("db.execute('SELECT id FROM t WHERE n = ?', (N,))", "log.info(f'Updated {N} rows from the table')", "cursor.executemany('INSERT INTO t VALUES (?)', N)", "db.execute(select(t).where(t.c.n == N))"),
    ),
    Weakness("python", "CWE-502", ("obj = pickle.loads(N)", "config = yaml.load(N, Loader=yaml.UnsafeLoader)", "table = pd.read_pickle(N)", "model = torch.load(N, weights_only=False)"), ("obj = json.loads(N)", "config = yaml.safe_load(N)", "N = pickle.dumps(obj)", "model = torch.load(N, weights_only=True)")),
    Weakness("python", "CWE-295", ("requests.post(N, json=d, verify=False)", "ctx = ssl._create_unverified_context()", "ctx.verify_mode = ssl.CERT_NONE", "httpx.Client(verify=False)"), ("requests.post(N, json=d, verify=ca)", "ctx.verify_mode = ssl.CERT_REQUIRED", "check(N, verify=True)")),
    Weakness("python", "CWE-328", ("digest = hashlib.md5(N).hexdigest()", "hashlib.sha1(N.encode())", "h = hashlib.new('sha1', N)"), ("digest = hashlib.sha256(N).hexdigest()", "hashlib.md5(N, usedforsecurity=False)", "h = hashlib.new('sha3_256', N)"), ("CWE-327", "CWE-916")),
    Weakness("python", "CWE-327", ("cipher = AES.new(N, AES.MODE_ECB)", "DES3.new(N, DES3.MODE_CBC)", "Cipher(algorithms.AES(N), modes.ECB())"), ("cipher = AES.new(N, AES.MODE_GCM)", "Cipher(algorithms.AES(N), modes.CTR(n))")),
    Weakness("python", "CWE-338", ("reset_token = random.randint(10000, 99999)", "self.session_id = str(random.random())", "salt = ''.join(random.choices(letters, k=8))", "code = random.randint(0, 9)\nsend_otp(code)"), ("reset_token = secrets.token_hex()", "jitter = random.random()", "salt = os.urandom(16)")),
    Weakness("python", "CWE-798", ("DB_PASSWORD = 'pl4ntation!'", "client = Client(api_key='sk-live-93hf83hf83')", "settings = {'secret_key': 'k8s-9f2h3g-92'}", "url = 'postgres://app:w0nderland@db/prod'"), ("DB_PASSWORD = os.environ['DB_PASSWORD']", "client = Client(api_key=N)", "password_label = 'Your password'", "settings = {'secret_key': ''}")),
    Weakness("python", "CWE-22", ("open(os.path.join(base, request.args['N']))", "return send_file(request.args.get('N'))", "tarball = tarfile.open(N)\ntarball.extractall(target)", "name = request.args['N']\nopen(base + name)", "name = request.form.get('N', '')\npath = os.path.join(base, name)\nif not name:\n    raise ValueError\nreturn send_file(path)"), ("name = secure_filename(request.args['N'])\nopen(base + name)", "name = request.args['N']\nif name not in NAMES:\n    raise KeyError(name)\nopen(base + name)", "key = request.args['N']\nopen(FILES[key])", "page = int(request.args['N'])\nopen(f'pages/{page}.txt')", "name = request.args['N']\nname = 'fixed'\nopen(name)", "open(os.path.join(base, 'N.txt'))", "tarball.extractall(target, filter='data')", "archive.extractall(target)")),
    Weakness("python", "CWE-918", ("requests.get(request.args['N'])", "urllib.request.urlopen(request.form['N'])", "address = request.args['N']\nhttpx.get(address)", "host = request.json['N']\nurl = f'http://{host}/status'\nrequests.get(url)"), ("address = request.args['N']\nif urlparse(address).hostname not in HOSTS:\n    raise ValueError\nhttpx.get(address)", "page = request.args['N']\nhttpx.get(BASE, params={'page': page})", "address = HOME if request.args['N'] == 'home' else OTHER\nhttpx.get(address)", "requests.get(BASE, params={'q': request.args['N']})", "cache.get(request.args['N'])")),
    Weakness("python", "CWE-611", ("parser = etree.XMLParser(resolve_entities=True)", "p = etree.XMLParser(load_dtd=True, no_network=False)"), ("parser = etree.XMLParser(resolve_entities=False)", "tree = defusedxml.ElementTree.parse(N)")),
    Weakness("python", "CWE-347", ("claims = jwt.decode(N, options={'verify_signature': False})", "jwt.decode(N, key, algorithms=['HS256', 'none'])"), ("claims = jwt.decode(N, key, algorithms=['RS256'])",)),
    Weakness("python", "CWE-601", ("return redirect(request.args.get('N'))", "return RedirectResponse(request.query_params['N'])"), ("return redirect(url_for('N'))",)),
    Weakness("python", "CWE-532", ("logger.info('signed in with %s', password)", "print(f'token {access_token}')"), ("logger.info('signed in as %s', N)", "print(f'password has {length} letters')")),
    Weakness("javascript", "CWE-95", ("const N = eval(text);", "setTimeout('run()', 5);", "const N = new Function('a', text);"), ("const N = JSON.parse(text);", "setTimeout(run, 5);")),
    Weakness("javascript", "CWE-78", ("child_process.exec('convert ' + N);", "exec(`git log ${N}`);", "spawn('sh', ['-c', N], { shell: true });"), ("child_process.execFile('convert', [N]);", "pattern.exec(N);", "spawn('git', ['log', N]);")),
    Weakness("javascript", "CWE-79", ("panel.innerHTML = N;", "document.write('<p>' + N);", "row.insertAdjacentHTML('afterend', N);"), ("panel.textContent = N;", "panel.innerHTML = '';")),
    Weakness("javascript", "CWE-89", ("db.query('SELECT a FROM t WHERE b = ' + N);", "pool.query(`DELETE FROM t WHERE b = ${N}`);", "const q = `SELECT a FROM t WHERE b = ${N}`;\ndb.query(q);"), ("db.query('SELECT a FROM t WHERE b = $1', [N]);", "api.get(`/items/${N}`);")),
    Weakness("javascript", "CWE-22", ("fs.readFile(path.join(root, req.params.N), cb);", "res.sendFile(req.query.N);", "const name = req.params.N;\nfs.readFile(root + name, cb);", "const { N } = req.query;\nres.sendFile(N);"), ("const name = path.basename(req.params.N);\nfs.readFile(name, cb);", "const file = FILES[req.params.N];\nfs.readFile(file, cb);", "const name = req.params.N;\nif (!names.has(name)) { return; }\nfs.readFile(name, cb);", "fs.readFile(path.join(root, 'N.txt'), cb);",)),
    Weakness("javascript", "CWE-918", ("const r = await axios.get(req.query.N);", "fetch(req.body.N).then(cb);", "const address = req.query.N;\nconst r = await fetch(address);"), ("const address = req.query.N;\nif (!allowed.includes(address)) { return; }\nconst r = await fetch(address);", "const id = Number(req.query.N);\nconst r = await fetch(`${BASE}/${id}`);", "const r = await axios.get(BASE, { params: req.query });",)),
    Weakness("javascript", "CWE-338", ("const authToken = Math.random().toString(16);", "user.nonce = Math.random();"), ("const authToken = crypto.randomUUID();", "const x = Math.random();")),
    Weakness("javascript", "CWE-295", ("const agent = new https.Agent({ rejectUnauthorized: false });",), ("const agent = new https.Agent({ rejectUnauthorized: true });",)),
    Weakness("javascript", "CWE-1321", ("_.merge(settings, req.body);", "deepMerge(state, JSON.parse(N));"), ("_.merge(settings, defaults);",)),
    Weakness("go", "CWE-89", ("rows, err := db.Query(fmt.Sprintf(\"SELECT a FROM t WHERE b = '%s'\", N))", "db.Exec(\"DELETE FROM t WHERE b = \" + N)", "q := \"SELECT a FROM t WHERE b = \" + N\ndb.Query(q)"), ("rows, err := db.Query(\"SELECT a FROM t WHERE b = $1\", N)",)),
    Weakness("go", "CWE-78", ("cmd := exec.Command(\"bash\", \"-c\", N)",), ("cmd := exec.Command(\"git\", \"log\", N)",)),
    Weakness("go", "CWE-295", ("t := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}",), ("t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: N}}",)),
    Weakness("go", "CWE-327", ("sum := md5.Sum(N)", "h := sha1.New()"), ("sum := sha256.Sum256(N)",)),
    Weakness("go", "CWE-22", ("f, err := os.Open(filepath.Join(root, r.URL.Query().Get(\"N\")))", "dst := filepath.Join(out, hdr.Name)"), ("f, err := os.Open(filepath.Join(root, \"N\"))",)),
    Weakness("go", "CWE-918", ("resp, err := http.Get(r.FormValue(\"N\"))",), ("resp, err := http.Get(base + \"/N\")",)),
    Weakness("java", "CWE-89", ("ResultSet rs = st.executeQuery(\"SELECT a FROM t WHERE b = '\" + N + \"'\");", "String q = \"DELETE FROM t WHERE b = \" + N;"), ("PreparedStatement ps = c.prepareStatement(\"SELECT a FROM t WHERE b = ?\");",)),
    Weakness("java", "CWE-78", ("Process p = Runtime.getRuntime().exec(\"git log \" + N);",), ("Process p = new ProcessBuilder(\"git\", \"log\", N).start();",)),
    Weakness("java", "CWE-502", ("Object o = new ObjectInputStream(N).readObject();",), ("Object o = mapper.readValue(N, Item.class);",)),
    Weakness("java", "CWE-327", ("Cipher c = Cipher.getInstance(\"DES\");", "Cipher c = Cipher.getInstance(\"AES/ECB/NoPadding\");"), ("Cipher c = Cipher.getInstance(\"AES/GCM/NoPadding\");",)),
    Weakness("java", "CWE-22", ("File f = new File(base, request.getParameter(\"N\"));", "Path p = dir.resolve(entry.getName());"), ("File f = new File(base, \"N\");",)),
    Weakness("java", "CWE-798", ("String dbPassword = \"pl4ntation!\";", "dataSource.setPassword(\"w0nderland\");"), ("String dbPassword = System.getenv(\"N\");",)),
    Weakness("c", "CWE-120", ("strcpy(target, N);", "sprintf(line, \"%s:%d\", N, 1);", "scanf(\"%s\", N);", "strcat(path, N->name);"), ("strncpy(target, N, sizeof target - 1);", "snprintf(line, sizeof line, \"%s\", N);", "strcpy(target, \"ok\");")),
    Weakness("c", "CWE-134", ("printf(N);", "fprintf(stderr, N);", "syslog(LOG_INFO, N);"), ("printf(\"%s\", N);", "fprintf(stderr, \"%d\", N);")),
    Weakness("c", "CWE-78", ("system(N);", "FILE *p = popen(N, \"r\");"), ("system(\"clear\");", "execvp(\"ls\", N);")),
    Weakness("c", "CWE-242", ("gets(N);",), ("fgets(N, sizeof N, stdin);",)),
)  # fmt: skip

ALIASES = {
    "python": (("os.system", "o.system"), ("subprocess.", "sp."), ("pickle.", "pk."), ("hashlib.", "hl."), ("requests.", "rq."), ("yaml.", "yy."))
}  # fmt: skip
HEAD = {"o.": "import os as o", "sp.": "import subprocess as sp", "pk.": "import pickle as pk", "hl.": "import hashlib as hl", "rq.": "import requests as rq", "yy.": "import yaml as yy"}  # fmt: skip


def indented(statement: str, blanks: str) -> str:
    """Every line of it moved right."""
    return "\n".join(blanks + line for line in statement.split("\n"))


def frames(language: str, statement: str) -> list[str]:
    """The statement as it may stand in a file."""
    if language == "python":
        return [
            f"def handle(request, value):\n{indented(statement, '    ')}\n    return None\n",
            f"class Service:\n    def run(self, request):\n        try:\n{indented(statement, ' ' * 12)}\n        finally:\n            self.close()\n",
            statement + "\n",
        ]
    if language == "javascript":
        return [f"async function handle(req, res) {{\n{indented(statement, '  ')}\n}}\n", f"app.post('/x', async (req, res) => {{\n{indented(statement, '  ')}\n}});\n", statement + "\n"]  # fmt: skip
    if language == "go":
        return [
            f"package main\n\nfunc handle(w http.ResponseWriter, r *http.Request) {{\n{indented(statement, chr(9))}\n}}\n"
        ]
    if language == "java":
        return [f"class Handler {{\n  void run() throws Exception {{\n{indented(statement, '    ')}\n  }}\n}}\n"]
    return [f"int run(char *value) {{\n{indented(statement, '    ')}\n    return 0;\n}}\n"]


def spread(statement: str) -> str | None:
    """The first call's arguments on lines of their own; None: there is nothing to spread."""
    if "\n" in statement or not re.search(r"\w\([^()]*,[^()]*\)", statement):
        return None
    return re.sub(
        r"(\w\()([^()]*,[^()]*)(\))", lambda m: f"{m[1]}\n        {m[2].strip()}\n    {m[3]}", statement, count=1
    )


def samples(weakness: Weakness, statements: tuple[str, ...]) -> list[tuple[str, str]]:
    """Kind and text of every sample."""
    made: list[tuple[str, str]] = []
    for statement in statements:
        kind = "in two steps" if "\n" in statement else "direct"
        for name in NAMES:
            named = re.sub(r"\bN\b", name, statement)
            made += [(kind, text) for text in frames(weakness.language, named)]
            wide = spread(named)
            if wide is not None:
                made += [("over lines", text) for text in frames(weakness.language, wide)[:1]]
        for module, alias in ALIASES.get(weakness.language, ()):
            if module in statement:
                short = re.sub(r"\bN\b", "value", statement).replace(module, alias)
                head = next(text for key, text in HEAD.items() if alias.startswith(key))
                made.append(("aliased", f"{head}\n{short}\n"))
    return made


def main() -> None:
    asked, found, wrong, alarms, missed = Counter[str](), Counter[str](), 0, Counter[str](), Counter[str]()
    goods = 0
    for weakness in WEAKNESSES:
        fine = {weakness.cwe, *weakness.alike}
        for kind, text in samples(weakness, weakness.bad):
            asked[kind] += 1
            if any(each.cwe in fine for each in scan_code(RULES, weakness.language, text).found):
                found[kind] += 1
            else:
                missed[f"{weakness.language} {weakness.cwe} {kind}"] += 1
        for _, text in samples(weakness, weakness.good):
            goods += 1
            said = scan_code(RULES, weakness.language, text).found
            wrong += bool(said)
            alarms.update(each.id for each in said)
    for name, count in missed.most_common():
        print(f"missed {count:4d}  {name}")
    for name, count in alarms.most_common():
        print(f"wrong  {count:4d}  {name}")
    lines, seconds, rules = installed()
    for name, count in rules.most_common(15):
        print(f"in packages {count:4d}  {name}")
    told = {
        "benchmark": "findings",
        "rules": len(RULES.rules),
        "samples": sum(asked.values()),
        "recall": {kind: round(found[kind] / asked[kind], 3) for kind in asked},
        "recall_all": round(sum(found.values()) / sum(asked.values()), 3),
        "fine_samples": goods,
        "false_alarm_rate": round(wrong / goods, 4),
        "package_lines": lines,
        "findings_per_1000_lines": round(1000 * sum(rules.values()) / max(1, lines), 3),
        "milliseconds_per_1000_lines": round(1e6 * seconds / max(1, lines), 2),
        "python": sys.version.split()[0],
    }
    print(json.dumps(told))


def installed() -> tuple[int, float, Counter[str]]:
    """Lines, seconds and findings in packages that are installed here."""
    lines, seconds, found = 0, 0.0, Counter[str]()
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        for path in sorted(Path(spec.origin).parent.rglob("*.py")):
            text = path.read_text(encoding="utf-8", errors="replace")
            began = time.perf_counter()
            scan = scan_code(RULES, "python", text)
            seconds += time.perf_counter() - began
            lines += text.count("\n")
            found.update(each.id for each in scan.found)
    return lines, seconds, found


if __name__ == "__main__":
    main()

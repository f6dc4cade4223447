// The functions in Pyodide, as xlwings Lite runs them: a job as JSON in, the outcome as JSON out.
//
//   node tests/pyodide.mjs FOLDER WHEEL MAIN CHILD < {"calls": [[name, [argument, ...]], ...]}
//
// FOLDER: of pyodide_prepare.py.  WHEEL: ours.  MAIN: the add-in's main.py.  CHILD: excel_child.py, which makes the calls.
import { readFileSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, wheel, main, child] = process.argv.slice(2);
const home = resolve(folder, "node_modules/pyodide");
const { loadPyodide } = await import(pathToFileURL(join(home, "pyodide.mjs")));
const env = { XLWINGS_ON_SERVER: "true", XLWINGS_LICENSE_KEY: "noncommercial", HOME: "/home/pyodide" };
const said = [];
const pyodide = await loadPyodide({ indexURL: home, env, stdout: (t) => said.push(t), stderr: (t) => said.push(t) });
const quiet = { messageCallback: () => {} };
await pyodide.loadPackage(["numpy", "micropip", "packaging"], quiet);
const xlwings = readdirSync(folder).find((name) => name.startsWith("xlwings-") && name.endsWith(".whl"));
const install = [];
for (const file of [join(folder, xlwings), wheel]) {
  pyodide.FS.writeFile(`/${basename(file)}`, readFileSync(file));
  install.push(`emfs:/${basename(file)}`);
}
const micropip = pyodide.pyimport("micropip");
await micropip.install(install);
pyodide.FS.writeFile("/home/pyodide/main.py", readFileSync(main));
pyodide.FS.writeFile("/home/pyodide/excel_child.py", readFileSync(child));
pyodide.globals.set("job", readFileSync(0, "utf8"));
const outcome = await pyodide.runPythonAsync(`
import json, sys
sys.path.insert(0, "/home/pyodide")
import main, excel_child
outcome = excel_child.office_js(json.loads(job)["calls"])
outcome["main"] = sorted(n for n in vars(main) if n.startswith("MLS_"))
outcome["python"] = sys.version
outcome["left_out"] = [n for n in ("lxml", "openpyxl", "formualizer") if n in sys.modules]
json.dumps(outcome, allow_nan=False)
`);
process.stdout.write(outcome);

// Judges every example under an exported catalogue with Ajv: one JSON line each. Run in the folder of its packages.
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const packages = createRequire(path.join(process.argv[3], "x.js"));
const Ajv = packages("ajv/dist/2020");
const formats = packages("ajv-formats");

const root = process.argv[2];
const folders = (folder) => fs.readdirSync(folder, { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => e.name).sort();
for (const type of folders(root)) {
  for (const version of folders(path.join(root, type))) {
    const own = path.join(root, type, version);
    // Strict: an unknown keyword or format is an error. Types may be implied by `enum` and `$ref`.
    const ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allErrors: true });
    formats(ajv);
    const validate = ajv.compile(JSON.parse(fs.readFileSync(path.join(own, "schema.json"), "utf8")));
    for (const kind of ["accept", "reject"]) {
      for (const file of fs.readdirSync(path.join(own, kind)).sort()) {
        const event = JSON.parse(fs.readFileSync(path.join(own, kind, file), "utf8"));
        const data = kind === "reject" ? event.event.data : event.data;
        console.log(JSON.stringify({ example: `${type}/${version}/${kind}/${file}`, valid: validate(data) }));
      }
    }
  }
}

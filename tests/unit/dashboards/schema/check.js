// Checks dashboards against the type Dashboard of @grafana/schema: node check.js SCHEMA FILE...
const Ajv = require('ajv');
const fs = require('fs');

const [schema, ...files] = process.argv.slice(2);
const check = new Ajv({ strict: false, allErrors: true }).compile(JSON.parse(fs.readFileSync(schema)));
let failed = false;
for (const file of files) {
  if (!check(JSON.parse(fs.readFileSync(file)))) {
    failed = true;
    for (const error of check.errors) {
      console.log(file, error.instancePath, error.message, JSON.stringify(error.params));
    }
  }
}
process.exit(failed ? 1 : 0);

// Evaluates simulations, a line of JSON each, and prints what comes of each.
import { createInterface } from 'node:readline'
import { runSimulation } from '@cloud-copilot/iam-simulate'

for await (const line of createInterface({ input: process.stdin })) {
  const response = await runSimulation(JSON.parse(line), {})
  console.log(JSON.stringify({ result: response.overallResult, errors: response.errors }))
}

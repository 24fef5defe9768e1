// The lines that are typed.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export async function line() {
  const { done, value } = await lines.next();
  if (done) process.exit(4);
  return value;
}

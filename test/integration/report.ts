/** What a test tells its reader beside passing: the seed, why it was skipped, what the nodes logged. */
export function report(text: string): void {
  process.stderr.write(`${text}\n`);
}

import type { Edit } from './types.ts';

/** Files by path with the edits applied. Throws unless each edit applies in exactly one place. */
export function applyEdits(edits: readonly Edit[], read: (file: string) => string): Map<string, string> {
  const files = new Map<string, string>();
  for (const { file, find, replace } of edits) {
    const text = files.get(file) ?? read(file);
    const places = text.split(find).length - 1;
    const shown = find.trim().split('\n')[0] ?? '';
    if (places === 0) throw new Error(`${file} does not contain: ${shown}`);
    if (places > 1) throw new Error(`${file} contains ${places} times: ${shown}`);
    const at = text.indexOf(find);
    files.set(file, text.slice(0, at) + replace + text.slice(at + find.length));
  }
  return files;
}

/** Copies of the tree to put defects into: the working tree itself is never touched. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { applyEdits } from './edits.ts';
import type { Edit } from './types.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Nothing that is tested needs them. */
const LEFT_OUT = /^(?:docs|bench|dist)\//;

const made = new Set<Tree>();

/** The process is going to end. */
export function removeTrees(): void {
  for (const tree of made) tree.remove();
}

export class Tree {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** `committed`: as in the last commit; else as the working tree is now. */
  static copy(committed: boolean): Tree {
    const tree = new Tree(mkdtempSync(join(tmpdir(), 'kvorum-mutants-')));
    made.add(tree);
    if (committed) {
      const archive = execFileSync('git', ['archive', 'HEAD'], { cwd: ROOT, maxBuffer: 1 << 30 });
      execFileSync('tar', ['-x'], { cwd: tree.path, input: archive });
    } else {
      const options = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
      const listed = execFileSync('git', options, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 });
      for (const file of listed.split('\0')) {
        if (file === '' || LEFT_OUT.test(file) || !existsSync(join(ROOT, file))) continue;
        mkdirSync(dirname(join(tree.path, file)), { recursive: true });
        cpSync(join(ROOT, file), join(tree.path, file));
      }
    }
    symlinkSync(join(ROOT, 'node_modules'), join(tree.path, 'node_modules'));
    return tree;
  }

  /** Puts the edits in; returns what takes them out again. */
  apply(edits: readonly Edit[]): () => void {
    const before = new Map<string, string>();
    for (const [file, text] of applyEdits(edits, (path) => readFileSync(join(this.path, path), 'utf8'))) {
      before.set(file, readFileSync(join(this.path, file), 'utf8'));
      writeFileSync(join(this.path, file), text);
    }
    return () => {
      for (const [file, text] of before) writeFileSync(join(this.path, file), text);
    };
  }

  remove(): void {
    made.delete(this);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/**
 * Reads the sources with a parser and reports every place that breaks the plan in `house.ts`. Works on texts, not on
 * files, so that its own tests can show for each rule a source that it refuses.
 */
import { posix } from 'node:path';
import { isBuiltin } from 'node:module';
import { parseSync } from 'oxc-parser';
import {
  IMPURE_GLOBALS,
  LOCALE_METHODS,
  OWNED_PACKAGES,
  PURE_PACKAGES,
  ROOMS,
  SIDEWAYS,
  VOCABULARY,
  type Room,
} from './house.ts';

export type Rule =
  | 'syntax'
  | 'room'
  | 'import-missing'
  | 'import-dynamic'
  | 'import-down'
  | 'import-sideways'
  | 'import-vocabulary'
  | 'import-circle'
  | 'pure-import'
  | 'pure-async'
  | 'pure-global'
  | 'pure-random'
  | 'pure-locale'
  | 'package-owner'
  | 'package-undeclared'
  | 'package-unused'
  | 'no-using'
  | 'no-process';

export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly rule: Rule;
  readonly message: string;
}

/** What package.json declares. */
export interface Manifest {
  readonly name: string;
  readonly dependencies: ReadonlySet<string>;
  readonly devDependencies: ReadonlySet<string>;
}

interface AstNode {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

interface Import {
  readonly specifier: string;
  readonly start: number;
}

const isNode = (value: unknown): value is AstNode =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';

const isNamed = (value: unknown, name: string): boolean =>
  isNode(value) && value.type === 'Identifier' && value['name'] === name;

/** Nodes whose name begins with TS and that hold values; under all others are types. */
const TS_VALUES = new Set([
  'TSAsExpression',
  'TSSatisfiesExpression',
  'TSNonNullExpression',
  'TSTypeAssertion',
  'TSInstantiationExpression',
  'TSExportAssignment',
]);

/** Slots of a node that hold a name, not a reference. */
const NAME_SLOTS: Readonly<Record<string, readonly string[]>> = {
  MemberExpression: ['property'],
  Property: ['key'],
  PropertyDefinition: ['key'],
  AccessorProperty: ['key'],
  MethodDefinition: ['key'],
  ImportSpecifier: ['imported'],
  ExportSpecifier: ['exported'],
  ExportAllDeclaration: ['exported'],
  LabeledStatement: ['label'],
  BreakStatement: ['label'],
  ContinueStatement: ['label'],
  MetaProperty: ['meta', 'property'],
};

export function roomOf(file: string): Room | undefined {
  return ROOMS.find((room) => (room.path.endsWith('/') ? file.startsWith(room.path) : file === room.path));
}

/** `@scope/name/deep/file` → `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

export function checkHouse(sources: ReadonlyMap<string, string>, manifest: Manifest): Violation[] {
  const violations: Violation[] = [];
  const edges = new Map<string, { to: string; line: number }[]>();
  for (const [file, source] of sources) {
    const seen = new Set<string>();
    const report = (start: number, rule: Rule, message: string): void => {
      const line = source.slice(0, start).split('\n').length;
      // `const x = async () => await y` is one fault of one line, not three.
      const once = `${line} ${rule} ${message}`;
      if (seen.has(once)) return;
      seen.add(once);
      violations.push({ file, line, rule, message });
    };
    const room = roomOf(file);
    if (room === undefined) report(0, 'room', 'stands on no floor: give it one in test/architecture/house.ts');
    const parsed = parseSync(file, source, { lang: 'ts', sourceType: 'module' });
    for (const error of parsed.errors) report(error.labels[0]?.start ?? 0, 'syntax', error.message);
    if (room === undefined || parsed.errors.length > 0) continue;

    const program = parsed.program as unknown as AstNode;
    checkSource(program, file, room, report);
    const imports = importsOf(program, report);
    const targets: { to: string; line: number }[] = [];
    for (const { specifier, start } of imports) {
      const to = checkImport(file, room, specifier, sources, manifest, (rule, message) => report(start, rule, message));
      if (to !== null) targets.push({ to, line: source.slice(0, start).split('\n').length });
    }
    edges.set(file, targets);
  }
  return [...violations, ...circles(edges)];
}

/** Packages that package.json declares as dependencies and that nothing in src/ or cmd/ imports. */
export function unusedDependencies(sources: ReadonlyMap<string, string>, manifest: Manifest): Violation[] {
  const used = new Set<string>();
  for (const [file, source] of sources) {
    if (!file.startsWith('src/') && !file.startsWith('cmd/')) continue;
    const parsed = parseSync(file, source, { lang: 'ts', sourceType: 'module' });
    for (const { specifier } of importsOf(parsed.program as unknown as AstNode)) used.add(packageOf(specifier));
  }
  return [...manifest.dependencies]
    .filter((name) => !used.has(name))
    .map((name) => ({
      file: 'package.json',
      line: 1,
      rule: 'package-unused',
      message: `${name} is a dependency that nothing in src/ or cmd/ imports`,
    }));
}

function importsOf(program: AstNode, report?: (start: number, rule: Rule, message: string) => void): Import[] {
  const imports: Import[] = [];
  walk(program, (node) => {
    let source: unknown;
    if (/^(?:Import|ExportNamed|ExportAll)Declaration$/.test(node.type)) source = node['source'];
    else if (node.type === 'ImportExpression' || node.type === 'TSImportType')
      source = node['source'] ?? node['argument'];
    else return;
    if (isNode(source) && source.type === 'TSLiteralType') source = source['literal'];
    if (isNode(source) && source.type === 'Literal' && typeof source['value'] === 'string') {
      imports.push({ specifier: source['value'], start: node.start });
    } else if (node.type === 'ImportExpression') {
      report?.(node.start, 'import-dynamic', 'import() of a computed name cannot be checked');
    }
  });
  return imports;
}

/** Returns the file that is imported, null for a package. */
function checkImport(
  file: string,
  room: Room,
  specifier: string,
  sources: ReadonlyMap<string, string>,
  manifest: Manifest,
  report: (rule: Rule, message: string) => void,
): string | null {
  if (!specifier.startsWith('.')) {
    checkPackage(room, specifier, manifest, report);
    return null;
  }
  const to = posix.normalize(posix.join(posix.dirname(file), specifier));
  const target = roomOf(to);
  if (target === undefined) {
    report('import-down', `${specifier} leads out of the house`);
    return null;
  }
  if (!sources.has(to)) {
    report('import-missing', `there is no ${to}`);
    return null;
  }
  if (target === room) return to;
  const allowed = SIDEWAYS.some(
    (way) => way.from === room.path && (way.to.endsWith('/') ? to.startsWith(way.to) : to === way.to),
  );
  if (target.floor > room.floor) {
    report('import-down', `floor ${room.floor} (${room.path}) imports floor ${target.floor} (${to})`);
  } else if (target.floor === room.floor && !allowed) {
    report('import-sideways', `${room.path} imports its neighbour on floor ${room.floor} (${to})`);
  }
  for (const { room: closed, below, files } of VOCABULARY) {
    if (target.path === closed && target.floor < room.floor && room.floor < below && !files.includes(to)) {
      report('import-vocabulary', `below floor ${below} only ${files.join(', ')} may be imported from ${closed}`);
    }
  }
  return to;
}

function checkPackage(
  room: Room,
  specifier: string,
  manifest: Manifest,
  report: (rule: Rule, message: string) => void,
): void {
  if (isBuiltin(specifier)) {
    if (room.pure) report('pure-import', `a pure room imports the Node built-in ${specifier}`);
    return;
  }
  const name = packageOf(specifier);
  const shipped = room.path.startsWith('src/') || room.path === 'cmd/';
  if (name !== manifest.name && !manifest.dependencies.has(name) && (shipped || !manifest.devDependencies.has(name))) {
    report('package-undeclared', `${name} is not among the ${shipped ? 'dependencies' : 'packages'} of package.json`);
  }
  if (room.pure) {
    const entry = Object.hasOwn(PURE_PACKAGES, name) ? PURE_PACKAGES[name] : undefined;
    if (entry === undefined || (entry.rooms !== 'all' && !entry.rooms.includes(room.path))) {
      report('pure-import', `a pure room imports the package ${name}, which its allow-list does not have`);
    }
  }
  for (const owned of OWNED_PACKAGES) {
    if (owned.package.test(name) && !owned.rooms.includes(room.path)) {
      report('package-owner', `${name} belongs to ${owned.rooms.join(', ')}`);
    }
  }
}

function checkSource(
  program: AstNode,
  file: string,
  room: Room,
  report: (start: number, rule: Rule, message: string) => void,
): void {
  const inSrc = file.startsWith('src/');
  walk(program, (node, parent, slot, inType) => {
    const { type, start } = node;
    if (type === 'VariableDeclaration' && String(node['kind']).endsWith('using') && (inSrc || room.path === 'cmd/')) {
      report(start, 'no-using', '`using` is a syntax error on Node 22');
    }
    if (inSrc && type === 'MemberExpression' && isNamed(node['object'], 'process')) {
      const property = node['property'] as AstNode;
      if (/^(?:exit|abort|on|once|addListener|exitCode)$/.test(String(property['name']))) {
        report(
          start,
          'no-process',
          `a library owns no signals and ends no process (process.${String(property['name'])})`,
        );
      }
    }
    if (!room.pure) return;
    if (node['async'] === true || type === 'AwaitExpression' || (type === 'ForOfStatement' && node['await'] === true)) {
      report(start, 'pure-async', 'a pure room is synchronous');
    }
    if (type === 'ImportExpression') report(start, 'pure-async', 'a pure room is synchronous (import())');
    if (type === 'MetaProperty' && isNamed(node['meta'], 'import')) {
      report(start, 'pure-global', 'a pure room names import.meta, which lets in the machine');
    }
    if (type === 'MemberExpression' && LOCALE_METHODS.test(String((node['property'] as AstNode)['name']))) {
      report(start, 'pure-locale', 'the answer depends on the locale of the machine');
    }
    if (type !== 'Identifier') return;
    const name = String(node['name']);
    if (inType) {
      if (name === 'Promise' || name === 'PromiseLike')
        report(start, 'pure-async', `a pure room names the type ${name}`);
      return;
    }
    if (NAME_SLOTS[parent.type]?.includes(slot) === true && parent['computed'] !== true) return;
    if (Object.hasOwn(IMPURE_GLOBALS, name)) {
      report(start, 'pure-global', `a pure room names ${name}, which lets in ${IMPURE_GLOBALS[name]}`);
    }
    if (name === 'Math') {
      const property = parent.type === 'MemberExpression' && slot === 'object' ? parent['property'] : undefined;
      if (property === undefined || parent['computed'] === true || isNamed(property, 'random')) {
        report(start, 'pure-random', 'randomness is handed in (Math.random, or Math used in a way that could hide it)');
      }
    }
  });
}

type Visit = (node: AstNode, parent: AstNode, slot: string, inType: boolean) => void;

function walk(root: AstNode, visit: Visit): void {
  const into = (node: AstNode, parent: AstNode, slot: string, typeAbove: boolean): void => {
    const inType = typeAbove || (node.type.startsWith('TS') && !TS_VALUES.has(node.type));
    visit(node, parent, slot, inType);
    for (const key of Object.keys(node)) {
      const child = node[key];
      if (Array.isArray(child)) {
        for (const item of child) if (isNode(item)) into(item, node, key, inType);
      } else if (isNode(child)) {
        into(child, node, key, inType);
      }
    }
  };
  into(root, root, '', false);
}

/** Each circle once, told from its first file in alphabetical order. */
function circles(edges: ReadonlyMap<string, readonly { to: string; line: number }[]>): Violation[] {
  const found: Violation[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const follow = (file: string): void => {
    path.push(file);
    for (const { to, line } of edges.get(file) ?? []) {
      const at = path.indexOf(to);
      if (at >= 0) {
        const ring = [...path.slice(at), to].join(' → ');
        found.push({ file, line, rule: 'import-circle', message: `circle: ${ring}` });
      } else if (!done.has(to)) {
        follow(to);
      }
    }
    path.pop();
    done.add(file);
  };
  for (const file of [...edges.keys()].toSorted()) if (!done.has(file)) follow(file);
  return found;
}

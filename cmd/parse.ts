/**
 * Text to value, for options, environment variables and keys of the config file alike. Every parser throws a plain
 * Error whose message completes the sentence "<source>: <text> …", so that the caller can name where the text stood.
 */
import path from 'node:path';

export interface ParseContext {
  /** Directory that relative paths start from: the working directory, or the config file's own. */
  readonly base: string;
}

export interface Parse<T> {
  (text: string, context: ParseContext): T;
  /** All that it takes, for shells that complete words. */
  readonly choices?: readonly string[];
  /** It takes the path of a file. */
  readonly files?: true;
}

export const text: Parse<string> = (value) => {
  if (value === '') throw new Error('is empty');
  return value;
};

export const filePath: Parse<string> = Object.assign(
  (value: string, { base }: ParseContext) => {
    if (value === '') throw new Error('is empty; a path is expected');
    return path.resolve(base, value);
  },
  { files: true as const },
);

export function integer(min: number, max: number, what = 'a whole number'): Parse<number> {
  return (value) => {
    const number = /^(?:-(?=0*[1-9]))?\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) throw new Error(`is not ${what} from ${min} to ${max}`);
    return number;
  };
}

export const port = integer(1, 65_535, 'a port,');

export function oneOf<const T extends string>(...choices: readonly T[]): Parse<T> {
  const parse = (value: string): T => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw new Error(`is not one of ${choices.join(', ')}`);
    return found;
  };
  return Object.assign(parse, { choices });
}

/** Any JSON. */
export const json: Parse<unknown> = (value) => {
  try {
    return JSON.parse(value) as unknown;
  } catch (error) {
    throw new Error('is not JSON (text is written \'"so"\')', { cause: error });
  }
};

/** An idempotency key. */
export const onceKey: Parse<string> = (value) => {
  if (!/^[\x20-\x7E]{1,255}$/.test(value)) throw new Error('is not 1 to 255 printable ASCII characters');
  return value;
};

/** Id of a lease. */
export const leaseId: Parse<string> = (value) => {
  if (!/^\d{1,20}$/.test(value)) throw new Error('is not the id of a lease, which is a whole number');
  return value;
};

/** Id of a node. */
export const nodeId: Parse<string> = (value) => {
  if (!/^\d{1,20}$/.test(value)) throw new Error('is not the id of a node, which is a whole number');
  return value;
};

export const flag: Parse<boolean> = (value) => {
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  throw new Error('is not true or false');
};

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds from `250ms`, `2s`, `5m`, `1h`, or a bare number of milliseconds. */
export function duration(minMs: number, maxMs: number): Parse<number> {
  return (value) => {
    const match = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h)?$/.exec(value);
    const milliseconds = match === null ? Number.NaN : Number(match[1]) * (DURATION_UNITS[match[2] ?? 'ms'] ?? 1);
    if (Number.isNaN(milliseconds)) throw new Error('is not a duration such as 250ms, 2s or 5m');
    if (milliseconds < minMs || milliseconds > maxMs) {
      throw new Error(`is not a duration from ${showDuration(minMs)} to ${showDuration(maxMs)}`);
    }
    return Math.round(milliseconds);
  };
}

const MAX_WAIT_MS = 365 * 24 * 3_600_000;
const boundedWait = duration(0, MAX_WAIT_MS);

/** Milliseconds; `forever` is Infinity. */
export const wait: Parse<number> = (value, context) => {
  if (value === 'forever') return Infinity;
  try {
    return boundedWait(value, context);
  } catch (error) {
    throw new Error('is neither a duration such as 30s or 5m nor forever', { cause: error });
  }
};

export function showDuration(milliseconds: number): string {
  for (const [unit, factor] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const) {
    if (milliseconds >= factor && milliseconds % factor === 0) return `${milliseconds / factor}${unit}`;
  }
  return `${milliseconds}ms`;
}

const BYTE_UNITS: Readonly<Record<string, number>> = { B: 1, KIB: 1024, MIB: 1024 ** 2, GIB: 1024 ** 3 };

/** Bytes from `65536`, `64KiB`, `64MiB`, `1GiB`. */
export function bytes(min: number, max: number): Parse<number> {
  return (value) => {
    const match = /^(\d{1,15}) ?(B|KiB|MiB|GiB)?$/i.exec(value);
    const size = match === null ? Number.NaN : Number(match[1]) * (BYTE_UNITS[(match[2] ?? 'B').toUpperCase()] ?? 1);
    if (Number.isNaN(size)) throw new Error('is not a size such as 65536, 64KiB or 64MiB');
    if (size < min || size > max) throw new Error(`is not a size from ${showBytes(min)} to ${showBytes(max)}`);
    return size;
  };
}

export function showBytes(size: number): string {
  for (const [unit, factor] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const) {
    if (size >= factor && size % factor === 0) return `${size / factor} ${unit}`;
  }
  return `${size} B`;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, `[IPv6]:PORT`. */
export function hostPort(options: { minPort: number }): Parse<HostPort> {
  return (value) => {
    const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(value);
    const host = match?.[1] ?? match?.[2];
    const number = Number(match?.[3]);
    if (host === undefined || !(number >= options.minPort && number <= 65_535)) {
      throw new Error('is not HOST:PORT, such as 127.0.0.1:7101 or [::1]:7101');
    }
    return { host, port: number };
  };
}

/** That no packet can be sent to: it means every address of this machine. */
const WILDCARD = /^(?:0\.0\.0\.0|[0:]+)$/;

/** HOST:PORT that somebody else can connect to. */
export const reachableAddress: Parse<string> = (value, context) => {
  const address = hostPort({ minPort: 1 })(value, context);
  if (WILDCARD.test(address.host)) throw new Error('is an address to listen on, not one to be reached at');
  return showHostPort(address);
};

const MAX_ADDRESSES = 64;

/** `HOST:PORT,HOST:PORT,…` */
export const addresses: Parse<readonly string[]> = (value, context) => {
  const found = new Set<string>();
  const parts = value.split(',').map((part) => part.trim());
  if (parts.length > MAX_ADDRESSES) throw new Error(`names more than ${MAX_ADDRESSES} addresses`);
  for (const part of parts) {
    try {
      found.add(reachableAddress(part, context));
    } catch (error) {
      throw new Error(`is wrong at "${part}", which ${(error as Error).message}`, { cause: error });
    }
  }
  return [...found];
};

/** A libp2p peer id: base58, which has neither 0 nor O, I nor l. */
export const peerId: Parse<string> = (value) => {
  if (!/^[1-9A-HJ-NP-Za-km-z]{40,128}$/.test(value)) {
    throw new Error('is not a libp2p peer id, such as 12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp');
  }
  return value;
};

export function showHostPort({ host, port: number }: HostPort): string {
  return host.includes(':') ? `[${host}]:${number}` : `${host}:${number}`;
}

export const nodeName: Parse<string> = (value) => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(value)) {
    throw new Error('is not a node name: 1 to 63 letters, digits, "-", "_" or ".", a letter or digit first');
  }
  return value;
};

/** `n1=HOST:PORT,n2=HOST:PORT,…` */
export const members: Parse<Readonly<Record<string, string>>> = (value, context) => {
  const found = new Map<string, string>();
  const parseAddress = hostPort({ minPort: 1 });
  for (const part of value.split(',')) {
    const at = part.indexOf('=');
    if (at < 0) throw new Error(`is not a list such as n1=10.0.0.1:7201,n2=10.0.0.2:7201 (at "${part}")`);
    const name = part.slice(0, at).trim();
    const address = part.slice(at + 1).trim();
    try {
      nodeName(name, context);
      const shown = showHostPort(parseAddress(address, context));
      if (found.has(name)) throw new Error('is there twice');
      if ([...found.values()].includes(shown)) throw new Error('has the address of another member');
      found.set(name, shown);
    } catch (error) {
      throw new Error(`is wrong at "${part}": ${(error as Error).message}`, { cause: error });
    }
  }
  return Object.fromEntries(found);
};

/** A few short strings by name; how long they may be in all, the node says. */
export const metadata: Parse<Readonly<Record<string, string>>> = (value) => {
  const found = new Map<string, string>();
  for (const part of value.split(',')) {
    const at = part.indexOf('=');
    const name = part.slice(0, Math.max(0, at)).trim();
    if (name === '') throw new Error(`is not a list such as zone=b,rack=7 (at "${part}")`);
    if (found.has(name)) throw new Error(`names ${name} twice`);
    found.set(name, part.slice(at + 1).trim());
  }
  return Object.fromEntries(found);
};

/** Base URLs without a trailing slash, from `http://a:7101,b:7101`. */
export const endpoints: Parse<readonly URL[]> = (value) => {
  const parts = value.split(',').map((part) => part.trim());
  if (parts.length > 64) throw new Error('names more than 64 endpoints');
  return parts.map((part) => {
    const url = URL.parse(/^https?:\/\//.test(part) ? part : `http://${part}`);
    if (part === '' || url === null || url.search !== '' || url.hash !== '') {
      throw new Error(`is not a list of URLs such as http://127.0.0.1:7101,http://127.0.0.1:7102 (at "${part}")`);
    }
    return url;
  });
};

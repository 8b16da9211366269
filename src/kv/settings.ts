/**
 * What the store is told about itself and cannot read off its history: the settings record, at the state key `k`. Written only when it changes.
 *
 * ```
 * u8 format = 1 · u32 checksum (XXH32 of all after it) · f64 keepMs · f64 quotaBytes · f64 floor · per mark: f64 time · f64 revision
 * ```
 * `keepRevisions` is not among them: it lies in the meta record, with the revision (`KvState`).
 */
import { KvorumError, invariant } from '../errors.ts';
import { xxh32 } from './checksum.ts';

const SETTINGS = 0x6b;
const FORMAT = 1;
const CHECKED_FROM = 5;
const FIXED_BYTES = 29;
const MARK_BYTES = 16;

/** Superseded versions are kept for this many revisions. Part of the state: a change needs a command in the log. */
export const DEFAULT_KEEP_REVISIONS = 100_000;
/** … and for this long. */
export const DEFAULT_KEEP_MS = 24 * 60 * 60 * 1000;
export const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

export interface StoreSettings {
  /** What was superseded more than this many revisions ago is dropped. Default 100,000. */
  readonly keepRevisions: number;
  /** So is what was superseded longer ago than this, in state-machine time. Milliseconds, default 24 h; 0: no limit by time. */
  readonly keepMs: number;
  /** What all versions that are kept may take: key, value and 64 bytes each. Default 2 GiB; 0: no limit. */
  readonly quotaBytes: number;
}

/** The revision that was current at a moment of state-machine time. */
export interface Mark {
  readonly time: number;
  readonly revision: number;
}

export interface SettingsRecord {
  readonly keepMs: number;
  readonly quotaBytes: number;
  /** Nothing below this revision can be read, whether it was dropped already or not. */
  readonly floor: number;
  /** Oldest first. */
  readonly marks: readonly Mark[];
}

export function settingsKey(): Uint8Array {
  return Uint8Array.of(SETTINGS);
}

export function isSettingsKey(key: Uint8Array): boolean {
  return key.length === 1 && key[0] === SETTINGS;
}

/** Asserts that these can be settings: whoever proposes them has to check before. */
export function checkSettings(settings: Partial<StoreSettings>): void {
  const { keepRevisions = 0, keepMs = 0, quotaBytes = 0 } = settings;
  invariant(Number.isSafeInteger(keepRevisions) && keepRevisions >= 0, 'keepRevisions is a whole number');
  invariant(Number.isSafeInteger(keepMs) && keepMs >= 0, 'keepMs is a whole number');
  invariant(Number.isSafeInteger(quotaBytes) && quotaBytes >= 0, 'quotaBytes is a whole number');
}

export function encodeSettings({ keepMs, quotaBytes, floor, marks }: SettingsRecord): Uint8Array {
  const bytes = new Uint8Array(FIXED_BYTES + marks.length * MARK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, FORMAT);
  view.setFloat64(5, keepMs);
  view.setFloat64(13, quotaBytes);
  view.setFloat64(21, floor);
  let at = FIXED_BYTES;
  for (const { time, revision } of marks) {
    view.setFloat64(at, time);
    view.setFloat64(at + 8, revision);
    at += MARK_BYTES;
  }
  view.setUint32(1, xxh32(view, CHECKED_FROM, bytes.length, SETTINGS));
  return bytes;
}

/** Keeps nothing of its memory. Throws ERR_CORRUPT for a damaged record, ERR_DATA_VERSION for one of a later format. */
export function decodeSettings(bytes: Uint8Array): SettingsRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < FIXED_BYTES || view.getUint32(1) !== xxh32(view, CHECKED_FROM, bytes.length, SETTINGS)) {
    throw new KvorumError('ERR_CORRUPT', 'The settings record of the state fails its checksum');
  }
  const format = view.getUint8(0);
  if (format !== FORMAT) {
    throw new KvorumError(
      'ERR_DATA_VERSION',
      `The settings record of the state has format ${format}; this version reads ${FORMAT}`,
    );
  }
  if ((bytes.length - FIXED_BYTES) % MARK_BYTES !== 0) {
    throw new KvorumError('ERR_CORRUPT', 'The settings record of the state is malformed');
  }
  const marks: Mark[] = [];
  for (let at = FIXED_BYTES; at < bytes.length; at += MARK_BYTES) {
    marks.push({ time: view.getFloat64(at), revision: view.getFloat64(at + 8) });
  }
  return { keepMs: view.getFloat64(5), quotaBytes: view.getFloat64(13), floor: view.getFloat64(21), marks };
}

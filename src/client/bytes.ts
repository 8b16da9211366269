/** Text and bytes, with nothing but what every JavaScript has. */
import { KvorumError } from '../errors.ts';
import type { ByteKey, Key } from './api.ts';

const encoder = new TextEncoder();
/** A byte order mark is a part of the value. */
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const LONE_SURROGATE = /\p{Surrogate}/u;
const ASCII = /^[\0-\u007f]*$/u;

/** UTF-8. Throws ERR_INVALID_ARGUMENT for text that has no UTF-8 form, instead of storing another one. */
export function utf8(text: string): Uint8Array {
  if (LONE_SURROGATE.test(text)) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'the text has a lone surrogate, which UTF-8 cannot write');
  }
  return encoder.encode(text);
}

/** Null for bytes that are not UTF-8. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    // TypeError: the one thing that it tells.
    return null;
  }
}

export function bytesOfByteKey(key: ByteKey): Uint8Array {
  const bytes = new Uint8Array(key.length);
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i);
  return bytes;
}

export function byteKeyOf(bytes: Uint8Array): ByteKey {
  return latin1(bytes);
}

export function byteKeyOfText(text: string): ByteKey {
  return ASCII.test(text) ? text : latin1(encoder.encode(text));
}

/** Null for a key that is not UTF-8. */
export function textOfByteKey(key: ByteKey): string | null {
  return ASCII.test(key) ? key : textOf(bytesOfByteKey(key));
}

/** As text when the bytes are UTF-8, which is the shorter way to write it. */
export function tidyKey(key: Key): Key {
  return typeof key === 'string' ? key : (textOf(key) ?? key);
}

/** The key right after this one: with it as the end, a range holds this key alone. */
export function keyAfter(key: Key): Key {
  if (typeof key === 'string') return `${key}\0`;
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** Call stacks are not endless. */
const CHUNK = 8192;

function latin1(bytes: Uint8Array): string {
  if (bytes.length <= CHUNK) return String.fromCharCode(...bytes);
  let text = '';
  for (let i = 0; i < bytes.length; i += CHUNK) text += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  return text;
}

export function base64(bytes: Uint8Array): string {
  return btoa(latin1(bytes));
}

export function base64url(bytes: Uint8Array): string {
  return base64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/u, '');
}

/** Of base64 or base64url. Throws what `atob` throws for anything else. */
export function bytesOfBase64(text: string): Uint8Array {
  return bytesOfByteKey(atob(text.replaceAll('-', '+').replaceAll('_', '/')));
}

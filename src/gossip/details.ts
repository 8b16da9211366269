/** What a node says of itself, held against the limits that others read it with. */
import { KvorumError } from '../errors.ts';
import { LIMITS } from './settings.ts';
import type { Details } from './types.ts';

/** Only the fields of `Details`, copied. Throws ERR_INVALID_ARGUMENT when the others would refuse it. */
export function checkedDetails({ name, role, addresses, http, metadata }: Details): Details {
  const fits =
    name.length <= LIMITS.nameCharacters &&
    addresses.length <= LIMITS.addresses &&
    addresses.every((address) => address.length <= LIMITS.addressCharacters) &&
    http.length <= LIMITS.httpCharacters &&
    metadata.length <= LIMITS.metadataBytes;
  if (!fits)
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'what this node says of itself is over the limits of gossip');
  return { name, role, addresses: [...addresses], http, metadata: metadata.slice() };
}

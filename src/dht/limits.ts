/** What a message may hold at most, whatever the nodes are set to: the parser refuses the rest before anybody looks at it. */
export const LIMITS = {
  contacts: 64,
  addresses: 8,
  addressChars: 256,
  peerIdChars: 128,
  nameChars: 128,
  valueBytes: 65_536,
  signatureBytes: 256,
  records: 32,
  /** Bytes of all values of one answer. */
  answerBytes: 262_144,
} as const;

import { transportConformance } from './conformance.ts';
import { Libp2pHarness } from './libp2p-harness.ts';

transportConformance('libp2p', () => new Libp2pHarness());

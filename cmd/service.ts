/** `kvorum service register | list | watch | deregister` */
import type { HealthCheck, Registration, ServiceInstance, ServiceSummary } from '../src/client/index.ts';
import { withClient } from './cluster-client.ts';
import type { CommandDeclaration, CommandGroup } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import { EXIT, UsageError, type ExitCode } from './exit.ts';
import { COMMAND_OPTIONS, hold, HOLDING_OPTIONS, type Held } from './holding.ts';
import { printableName } from './lock-output.ts';
import { option, type Options, type Values } from './options.ts';
import { printable, table, tell } from './output.ts';
import { allPages } from './pages.ts';
import { duration, flag, integer, json, text } from './parse.ts';
import { Signals } from './signals.ts';

/** As the HTTP API gives it. */
interface JsonService {
  readonly name: string;
  readonly revision: number;
  readonly instances: readonly Omit<ServiceInstance, 'name'>[];
}

const NAME: readonly [string, string] = ['<NAME>', 'of the service: any text'];

const REGISTER_OPTIONS = {
  address: option({
    flags: '--address <address>',
    description: 'where it is reached: HOST:PORT, or a URL',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  instance: option({
    flags: '--instance <id>',
    description: 'its id; who is registered under it loses its place (default: a new one)',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  serviceVersion: option({
    flags: '--service-version <text>',
    description: 'version of what runs there',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  weight: option({
    flags: '--weight <n>',
    description: 'its part of the work, 1 to 1000',
    parse: integer(1, 1000),
    fallback: 1,
    shown: '1',
    callOnly: true,
  }),
  metadata: option({
    flags: '--metadata <json>',
    description: 'whatever else is to be known of it: an object',
    parse: json,
    fallback: undefined,
    callOnly: true,
  }),
  checkHttp: option({
    flags: '--check-http <url>',
    description: 'it is well while this URL, or path at its address, answers with 2xx',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  checkTcp: option({
    flags: '--check-tcp',
    description: 'it is well while its address takes connections',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  checkInterval: option({
    flags: '--check-interval <duration>',
    description: 'from the end of one check to the next',
    parse: duration(100, 24 * 3_600_000),
    fallback: 5000,
    shown: '5s',
    callOnly: true,
  }),
  checkTimeout: option({
    flags: '--check-timeout <duration>',
    description: 'a check that takes longer has failed',
    parse: duration(1, 3_600_000),
    fallback: 2000,
    shown: '2s',
    callOnly: true,
  }),
  checkFailures: option({
    flags: '--check-failures <n>',
    description: 'critical after so many failures in a row',
    parse: integer(1, 1000),
    fallback: 3,
    shown: '3',
    callOnly: true,
  }),
  ttl: HOLDING_OPTIONS.ttl,
  ...COMMAND_OPTIONS,
  ...CLIENT_OPTIONS,
} satisfies Options;

const register: CommandDeclaration<typeof REGISTER_OPTIONS> = {
  name: 'register',
  summary: 'run a command while its service is registered',
  description:
    'Register an instance of a service, and run a command meanwhile.\n' +
    'It sees the name in KVORUM_SERVICE, the id in KVORUM_INSTANCE, the address in KVORUM_ADDRESS, the lease in KVORUM_LEASE. ' +
    'With a check it is critical until the first one succeeds. Without a command: until Ctrl-C, and print the id.\n' +
    "Exit code: the command's own (128+n when signal n ended it); 70 when another registered under the id: then the command was stopped.",
  args: [NAME],
  options: REGISTER_OPTIONS,
  examples: [
    ['kvorum service register payments --address 10.0.0.7:8080 --check-http /healthz -- ./payments', ''],
    ['kvorum service register payments --address 10.0.0.7:8080 --instance shop-1', 'until Ctrl-C'],
  ],
  takesCommand: true,
  endsAtOnce: true,
  run: async ({ args: [name = ''], values, command }) => {
    const { checkName } = await import('./keys.ts');
    checkName(name);
    const { address, instance, serviceVersion, weight, metadata, ttl } = values;
    if (address === undefined) throw new UsageError('--address is missing: where it is reached');
    if (instance !== undefined) checkName(instance);
    const check = checkOf(values);
    const given: { instance?: string } = instance === undefined ? {} : { instance };
    return await withClient(values, (client) =>
      hold({
        what: `service ${printableName(name)}`,
        command,
        environment: { KVORUM_SERVICE: name, KVORUM_ADDRESS: address },
        killAfterMs: values.killAfter,
        releaseMs: values.timeout,
        json: values.output === 'json',
        again: false,
        told: (held) => toldOf(held as HeldService),
        acquire: async (signal) =>
          new HeldService(
            await client.services.register(name, {
              ...{ address, weight, ttl, signal, ...given },
              ...(serviceVersion !== undefined && { version: serviceVersion }),
              // What is no object is told by its name.
              ...(metadata !== undefined && { metadata: metadata as Record<string, unknown> }),
              ...(check !== undefined && { check }),
            }),
          ),
      }),
    );
  },
};

/** A registration as something that is held. */
class HeldService implements Held {
  readonly token = null;
  readonly registration: Registration;

  constructor(registration: Registration) {
    this.registration = registration;
  }

  get name(): string {
    return this.registration.name;
  }

  get lease(): string {
    return this.registration.lease;
  }

  get environment(): Readonly<Record<string, string>> {
    return { KVORUM_INSTANCE: this.registration.instance };
  }

  get signal(): AbortSignal {
    return this.registration.signal;
  }

  guard(): void {
    this.registration.guard();
  }

  /** It does not end by its time: it comes back. */
  remaining(): number {
    return this.signal.aborted ? 0 : Infinity;
  }

  close(): Promise<void> {
    return this.registration.close();
  }
}

function toldOf({ registration }: HeldService): { json: object; line: string; words: string } {
  const { name, instance, lease } = registration;
  return {
    json: { name, instance, lease },
    line: instance,
    words: `registered as ${printableName(instance)}, lease ${lease}; Ctrl-C ends that`,
  };
}

function checkOf(values: Values<typeof REGISTER_OPTIONS>): HealthCheck | undefined {
  const timing = { interval: values.checkInterval, timeout: values.checkTimeout, failures: values.checkFailures };
  if (values.checkHttp !== undefined && values.checkTcp) {
    throw new UsageError('give --check-http or --check-tcp, not both');
  }
  if (values.checkHttp !== undefined) return { http: values.checkHttp, ...timing };
  return values.checkTcp ? { tcp: true, ...timing } : undefined;
}

const LOOK_OPTIONS = {
  passing: option({
    flags: '--passing',
    description: 'only instances that are passing',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...CLIENT_OPTIONS,
} satisfies Options;

const list: CommandDeclaration<typeof LOOK_OPTIONS> = {
  name: 'list',
  summary: 'show services, or the instances of one',
  description:
    'Show all services with how many instances they have, or the instances of one: exit code 3 when it has none.',
  args: [['[NAME]', 'of a service']],
  options: LOOK_OPTIONS,
  examples: [
    ['kvorum service list', ''],
    ['kvorum service list payments --passing', ''],
  ],
  run: async ({ args: [name], values, given }) => {
    if (name === undefined) {
      if (given.has('passing')) throw new UsageError('--passing goes with the NAME of a service');
      return await listAll(values);
    }
    const { callJson } = await import('./client.ts');
    const { encodeName } = await import('./keys.ts');
    const query = { passing: values.passing };
    const request = { method: 'GET', path: `/v1/services/${encodeName(name)}`, query } as const;
    const found = (await callJson(connectionOf(values), request)) as JsonService;
    await tell(values, found, showInstances(found));
    return found.instances.length === 0 ? EXIT.notFound : EXIT.ok;
  },
};

async function listAll(values: Values<typeof LOOK_OPTIONS>): Promise<ExitCode> {
  const services = await allPages<ServiceSummary>(connectionOf(values), '/v1/services', 'services');
  const shown = table(
    ['NAME', 'INSTANCES', 'PASSING'],
    services.map(({ name, instances, passing }) => [printable(name), String(instances), String(passing)]),
  );
  await tell(values, { services }, shown);
  return EXIT.ok;
}

function showInstances({ name, instances }: JsonService): string {
  if (instances.length === 0) return `service ${printableName(name)} has no instance\n`;
  return table(
    ['INSTANCE', 'ADDRESS', 'STATUS', 'WEIGHT', 'VERSION', 'LEASE', 'NOTE'],
    instances.map(({ instance, address, status, weight, version, lease, note }) => [
      ...[printable(instance), printable(address), status, String(weight)],
      ...[version === null ? '-' : printable(version), lease ?? '-', note === null ? '' : printable(note)],
    ]),
  );
}

const watch: CommandDeclaration<typeof LOOK_OPTIONS> = {
  name: 'watch',
  summary: 'show the instances of a service whenever they change',
  description: 'Show the instances of a service, and again whenever they change, until Ctrl-C.',
  args: [NAME],
  options: LOOK_OPTIONS,
  examples: [
    ['kvorum service watch payments', ''],
    ['kvorum service watch payments --passing -o json', 'a line a change'],
  ],
  endsAtOnce: true,
  run: async ({ args: [name = ''], values }) => {
    const { checkName } = await import('./keys.ts');
    checkName(name);
    const ended = new AbortController();
    const signals = new Signals();
    signals.mean(() => ended.abort());
    return await withClient(values, async (client) => {
      const { passing } = values;
      for await (const view of client.services.watch(name, { signal: ended.signal, passing })) {
        await tell(values, view, `${showInstances(view)}\n`);
      }
      return EXIT.ok;
    });
  },
};

const deregister: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'deregister',
  summary: 'take an instance out, whoever registered it',
  description:
    'Take an instance out of its service, whoever registered it. One that is not there: exit code 3.\n' +
    'A process that still runs learns of it within its --ttl, and stays out.',
  args: [NAME, ['<INSTANCE>', 'its id']],
  options: CLIENT_OPTIONS,
  examples: [['kvorum service deregister payments shop-1', '']],
  run: async ({ args: [name = '', instance = ''], values }) => {
    const { callJson } = await import('./client.ts');
    const { encodeName } = await import('./keys.ts');
    const request = {
      method: 'DELETE',
      path: `/v1/services/${encodeName(name)}/${encodeName(instance)}`,
    } as const;
    const result = (await callJson(connectionOf(values), request)) as { readonly deregistered: boolean };
    await tell(values, result, result.deregistered ? 'deregistered\n' : 'there is no such instance\n');
    return result.deregistered ? EXIT.ok : EXIT.notFound;
  },
};

export const service: CommandGroup = {
  name: 'service',
  summary: 'services: who offers what, and where',
  description:
    'An instance of a service is registered for as long as its process lives, with its address and its health.',
  commands: [register, list, watch, deregister],
};

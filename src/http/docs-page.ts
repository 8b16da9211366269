/** The OpenAPI document as one readable page that loads nothing: no script, no font, no network. */
import { ERRORS } from '../errors.ts';
import type { OpenApiDocument, Operation, Parameter } from './openapi.ts';

export const DOCS_STYLE = `
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 18%,transparent);--soft:color-mix(in srgb,currentColor 7%,transparent)}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1.5rem}
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
code,pre{font:0.9em ui-monospace,monospace}code{background:var(--soft);padding:.1em .3em;border-radius:.25em}
pre{background:var(--soft);padding:.8em;overflow:auto;border-radius:.4em}
article{border:1px solid var(--line);border-radius:.5em;margin:1rem 0;padding:0 1rem .5rem}
article h3 b{display:inline-block;min-width:4.5rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{border-top:1px solid var(--line);padding:.35rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{font-weight:600}small{opacity:.75}:target{background:var(--soft)}
nav a{margin-right:1rem}
`;

export function docsPageOf(document: OpenApiDocument): string {
  const { info, tags, paths, components } = document;
  const sections = tags.map(({ name, description }) => {
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, operation]) => operation.tags.includes(name))
        .map(([method, operation]) => article(method, path, operation)),
    );
    return `<h2 id="${esc(name)}">${esc(capital(name))}</h2><p>${prose(description)}</p>${operations.join('')}`;
  });
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="schema-${esc(name)}"><summary><code>${esc(name)}</code></summary><pre>${esc(JSON.stringify(schema, null, 2))}</pre></details>`,
  );
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>${esc(info.title)} HTTP API</title><style>${DOCS_STYLE}</style></head><body>` +
    `<h1>${esc(info.title)} HTTP API <small>${esc(info.version)}</small></h1><p>${prose(info.description)}</p>` +
    `<nav>${tags.map(({ name }) => `<a href="#${esc(name)}">${esc(capital(name))}</a>`).join('')}` +
    `<a href="#schemas">Schemas</a><a href="#errors">Errors</a><a href="/openapi.json">openapi.json</a></nav>` +
    `${sections.join('')}<h2 id="schemas">Schemas</h2>${schemas.join('')}<h2 id="errors">Errors</h2>${errorTable()}` +
    `</body></html>\n`
  );
}

function article(method: string, path: string, operation: Operation): string {
  return (
    `<article id="${esc(operation.operationId)}"><h3><b>${esc(method.toUpperCase())}</b> <code>${esc(path)}</code></h3>` +
    `<p><strong>${prose(operation.summary)}.</strong> ${prose(operation.description)}</p>` +
    parameterTable('Options and headers', operation.parameters) +
    bodyOf(operation) +
    answerTable(operation) +
    `</article>`
  );
}

function parameterTable(title: string, parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(({ name, in: where, description, schema }) => {
    return `<tr><td><code>${esc(name)}</code> <small>${where}</small></td><td>${prose(description)}${limits(schema)}</td></tr>`;
  });
  return `<table><tr><th>${title}</th><th></th></tr>${rows.join('')}</table>`;
}

function limits(schema: object): string {
  const known = schema as { enum?: readonly string[]; default?: unknown; minimum?: number; maximum?: number };
  const facts: string[] = [];
  if (known.enum !== undefined) facts.push(known.enum.join(' | '));
  if (known.default !== undefined) facts.push(`default ${JSON.stringify(known.default)}`);
  if (known.maximum !== undefined && known.maximum < Number.MAX_SAFE_INTEGER) {
    facts.push(`${known.minimum} to ${known.maximum}`);
  }
  return facts.length === 0 ? '' : ` <small>(${esc(facts.join('; '))})</small>`;
}

function bodyOf({ requestBody }: Operation): string {
  if (requestBody === undefined) return '';
  return `<p>Body: ${contentOf(requestBody.content)}. ${prose(requestBody.description)}.</p>`;
}

function answerTable({ responses }: Operation): string {
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) => {
    return `<tr><td>${status}</td><td>${prose(description)}</td><td>${contentOf(content)}</td></tr>`;
  });
  return `<table><tr><th>Answer</th><th></th><th></th></tr>${rows.join('')}</table>`;
}

function contentOf(content: Record<string, object>): string {
  return Object.entries(content)
    .map(([type, { schema }]: [string, { schema?: { $ref: string } }]) => {
      const name = schema?.$ref.split('/').at(-1);
      return `<code>${esc(type)}</code>${name === undefined ? '' : ` <a href="#schema-${esc(name)}">${esc(name)}</a>`}`;
    })
    .join(', ');
}

/** The target of every problem's `type`. */
function errorTable(): string {
  const rows = Object.entries(ERRORS).map(([code, { status, title, retryable }]) => {
    return `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${esc(title)}</td><td>${retryable ? 'yes' : 'no'}</td></tr>`;
  });
  return `<table><tr><th>Code</th><th>Status</th><th></th><th>Retry</th></tr>${rows.join('')}</table>`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Escaped text, with `code` between backquotes. */
function prose(text: string): string {
  return esc(text).replaceAll(/`([^`]+)`/gu, '<code>$1</code>');
}

function esc(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

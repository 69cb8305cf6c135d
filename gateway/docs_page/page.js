// Draws the OpenAPI document this gateway serves. It asks for nothing else, and puts text in as text only.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
let schemas = {};

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// The little Markdown our texts use: paragraphs, `code`, **bold**.
function prose(text) {
  const holder = make("div");
  for (const paragraph of (text || "").split(/\n\s*\n/)) {
    const p = make("p");
    for (const part of paragraph.split(/(`[^`]+`|\*\*[^*]+\*\*)/)) {
      if (part.startsWith("`")) p.append(make("code", "", part.slice(1, -1)));
      else if (part.startsWith("**")) p.append(make("strong", "", part.slice(2, -2)));
      else p.append(part);
    }
    holder.append(p);
  }
  return holder;
}

function resolve(schema) {
  return schema && schema.$ref ? schemas[schema.$ref.split("/").pop()] || {} : schema || {};
}

function alternatives(schema) {
  return (schema.anyOf || schema.oneOf || []).flatMap((each) => (each.anyOf ? each.anyOf : [each]));
}

function typeOf(schema) {
  if (schema.$ref) {
    const target = resolve(schema);
    return target.enum ? target.enum.join(" | ") : schema.$ref.split("/").pop();
  }
  if (schema.enum) return schema.enum.join(" | ");
  const choices = alternatives(schema);
  if (choices.length) return choices.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items || {})}`;
  const name = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type || "any";
  return schema.format ? `${name} (${schema.format})` : name;
}

function limits(schema) {
  const found = [];
  for (const each of [schema, ...alternatives(schema)]) {
    if (each.minLength !== undefined || each.maxLength !== undefined) {
      found.push(`${each.minLength || 0} to ${each.maxLength ?? "any number of"} characters`);
    }
    if (each.minimum !== undefined || each.maximum !== undefined) found.push(`${each.minimum} to ${each.maximum}`);
    if (each.default !== undefined && each.default !== null && each.default !== "") found.push(`default ${each.default}`);
  }
  return found.join("; ");
}

function describe(schema) {
  const text = schema.description || alternatives(schema).map((each) => each.description).find(Boolean) || "";
  return [text, limits(schema)].filter(Boolean).join(" ");
}

function table(headings, rows) {
  const head = make("tr", "", ...headings.map((each) => make("th", "", each)));
  return make("table", "", head, ...rows.map((row) => make("tr", "", ...row.map((cell) => make("td", "", cell)))));
}

function fields(schema) {
  const target = resolve(schema);
  const required = new Set(target.required || []);
  const rows = Object.entries(target.properties || {}).map(([name, each]) => [
    make("code", "", name), typeOf(each), required.has(name) ? "needed" : "", prose(describe(each)),
  ]);
  return rows.length ? table(["field", "type", "", ""], rows) : make("p", "dim", typeOf(schema));
}

function exampleOf(schema, depth = 0) {
  const target = resolve(schema);
  if (target.examples && target.examples.length) return target.examples[0];
  if (target.enum) return target.enum[0];
  const choices = alternatives(target);
  if (choices.length) return exampleOf(choices[0], depth);
  if (target.type === "object" && target.properties && depth < 4) {
    const needed = new Set(target.required || []);
    const kept = Object.entries(target.properties).filter(([name, each]) => needed.has(name) || each.examples);
    return Object.fromEntries(kept.map(([name, each]) => [name, exampleOf(each, depth + 1)]));
  }
  if (target.type === "array") return [exampleOf(target.items || {}, depth + 1)];
  if (target.type === "integer") return target.default ?? target.minimum ?? 0;
  if (target.format === "uuid") return "018f3c5e-7a1b-7c2d-8e3f-0123456789ab";
  return "…";
}

function curl(path, method, operation, body) {
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}'${location.origin}${path}'`];
  if (operation.security) lines.push(`-H "Authorization: Bearer $TOKEN"`);
  if ((operation.parameters || []).some((each) => each.name === "Prefer")) lines.push("-H 'Prefer: wait=5'");
  if (body) lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(exampleOf(body))}'`);
  return lines.join(" \\\n  ");
}

function draw(path, method, operation) {
  const body = operation.requestBody && Object.values(operation.requestBody.content)[0].schema;
  const content = make("div", "", operation.description !== operation.summary ? prose(operation.description) : null);
  if (operation.parameters && operation.parameters.length) {
    const rows = operation.parameters.map((each) => [
      make("code", "", each.name), each.in, typeOf(each.schema),
      prose(each.description || describe(each.schema)),
    ]);
    content.append(make("h3", "", "Parameters"), table(["name", "in", "type", ""], rows));
  }
  if (body) content.append(make("h3", "", "Body"), fields(body));
  content.append(make("h3", "", "Try"), make("pre", "", curl(path, method, operation, body)), make("h3", "", "Answers"));
  const statuses = Object.keys(operation.responses).sort();
  content.append(table(["status", "body", ""], statuses.map((status) => {
    const response = operation.responses[status];
    const media = Object.entries(response.content || {})[0];
    const shown = media && media[1].schema ? typeOf(media[1].schema) : "";
    return [make("code", "", status), shown, prose(response.description)];
  })));
  const success = statuses.find((each) => each.startsWith("2"));
  for (const status of statuses.filter((each) => each.startsWith("2"))) {
    const media = Object.values(operation.responses[status].content || {})[0];
    if (media && media.schema && (media.schema.$ref || status === success)) {
      content.append(make("h3", "", `${status}: ${typeOf(media.schema)}`), fields(media.schema));
    }
  }
  const head = make("summary", "", make("span", `method ${method}`, method.toUpperCase()),
    make("span", "path", path), make("span", "dim", operation.summary || ""));
  const details = make("details", "", head, content);
  details.id = operation.operationId;
  details.dataset.words = `${method} ${path} ${operation.summary} ${operation.description}`.toLowerCase();
  return details;
}

function find(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const details of document.querySelectorAll("details")) {
    details.hidden = !words.every((word) => details.dataset.words.includes(word));
  }
  for (const section of document.querySelectorAll("section")) {
    section.hidden = !section.querySelector("details:not([hidden])");
  }
}

async function show() {
  const main = document.getElementById("operations");
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`openapi.json answered ${answer.status}`);
  const api = await answer.json();
  schemas = api.components.schemas;
  document.getElementById("about").append(prose(api.info.description));
  const sections = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((each) => item[each])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!sections.has(tag)) sections.set(tag, make("section", "", make("h2", "", tag)));
      sections.get(tag).append(draw(path, method, item[method]));
    }
  }
  const problem = make("details", "", make("summary", "", make("span", "path", "application/problem+json"),
    make("span", "dim", "every error (RFC 9457)")), make("div", "", fields({ $ref: "#/components/schemas/Problem" })));
  problem.dataset.words = "problem error rfc 9457";
  main.replaceChildren(...sections.values(), make("section", "", make("h2", "", "problems"), problem));
  const input = document.getElementById("find");
  input.addEventListener("input", () => find(input.value));
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
}

show().catch((error) => {
  document.getElementById("operations").replaceChildren(make("p", "", `The document could not be read: ${error.message}`));
});

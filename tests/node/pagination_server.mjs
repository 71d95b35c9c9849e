// Keyset pagination in Node: a binary search finds where a page begins.
//
// The standard library alone, judged by the same contract as the others:
//
//   CURSOR_SECRET=change-me SEED=1000 node pagination_server.mjs --port 8080

import cluster from "node:cluster";
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, STATUS_CODES } from "node:http";
import { parseArgs } from "node:util";

const { values: given } = parseArgs({ options: { port: { type: "string" } } });
if (given.port) process.env.PORT = given.port;
const HOST = process.env.HOST ?? "127.0.0.1";
const PORT = wholeNumber("PORT", 8000);
const WORKERS = wholeNumber("WORKERS", 1);
const SEED = wholeNumber("SEED", 0);
const PAGE_LIMIT_MAX = wholeNumber("PAGE_LIMIT_MAX", 100);
const PAGE_LIMIT_DEFAULT = Math.min(
  wholeNumber("PAGE_LIMIT_DEFAULT", 20),
  PAGE_LIMIT_MAX,
);
// rule: lasting-cursor
const CURSOR_SECRET = process.env.CURSOR_SECRET;
if (!CURSOR_SECRET) refuseToStart("CURSOR_SECRET is not set");

const BODY_MAX = 1024 * 1024;
const DRAIN_MS = 5000;
const SORTS = ["added_at", "-added_at", "title", "-title"];
const TITLE = /^[^\x00-\x1f\x7f\p{Surrogate}]{1,200}$/u;
const GENRE = /^(?=.{1,40}$)[a-z]+(-[a-z]+)*$/;

function wholeNumber(name, fallback) {
  const text = process.env[name] ?? String(fallback);
  if (!/^[0-9]{1,9}$/.test(text)) refuseToStart(`${name} is no whole number`);
  return Number(text);
}

function refuseToStart(reason) {
  console.error(`pagination_server: ${reason}`);
  process.exit(1);
}

// The collection: every list that can be asked for is kept sorted.

const books = new Map();
const lists = new Map();
let lastId = 0;

function* listsWith(book) {
  for (const column of ["added_at", "title"]) {
    for (const key of [`${column} `, `${column} ${book.genre}`]) {
      if (!lists.has(key)) lists.set(key, []);
      yield { column, list: lists.get(key) };
    }
  }
}

function addBook(fields) {
  const book = { id: ++lastId, ...fields };
  books.set(book.id, book);
  for (const { column, list } of listsWith(book)) {
    list.splice(countBefore(list, column, book), 0, book);
  }
  return book;
}

function removeBook(id) {
  const book = books.get(id);
  if (!book) return false;
  for (const { column, list } of listsWith(book)) {
    list.splice(countBefore(list, column, book), 1);
  }
  return books.delete(id);
}

// The same books each time: three share an added_at, many share a title.
function seedBooks(count) {
  const titles = ["Bitter Letters", "Quiet Harbour", "Mirror", "Winter"];
  const genres = ["novel", "poetry", "history", "travel", "essay"];
  const opened = Date.UTC(2026, 0, 1);
  for (let number = 0; number < count; number++) {
    const added = new Date(opened + Math.floor(number / 3) * 61_007);
    const book = {
      id: ++lastId,
      title: `${titles[number % 4]} ${(number * 31) % 14}`,
      genre: genres[Math.floor((number * 7) / 3) % genres.length],
      added_at: added.toISOString(),
    };
    books.set(book.id, book);
    for (const { list } of listsWith(book)) list.push(book);
  }
  for (const [key, list] of lists) {
    const [column] = key.split(" ");
    list.sort((one, other) => compare(column, one, other));
  }
}

function compare(column, one, other) {
  // rule: total-order
  return compareText(one[column], other[column]) || one.id - other.id;
}

// By code point: `<` compares UTF-16 units, and puts U+1F600 before U+FF01.
function compareText(one, other) {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  return (one.codePointAt(at) ?? -1) - (other.codePointAt(at) ?? -1);
}

// How many rows stand before the place; with `past`, the place counts too.
function countBefore(rows, column, place, past = false) {
  let [low, high] = [0, rows.length];
  // rule: flat-cost
  while (low < high) {
    const middle = (low + high) >>> 1;
    const side = compare(column, rows[middle], place);
    if (side < 0 || (past && side === 0)) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Pages: a cursor is a place and a direction; without a place, an end.

const START = { place: null, backward: false };
const END = { place: null, backward: true };

function columnOf(sort) {
  return sort.replace("-", "");
}

function takeRows(rows, sort, { place, backward }, count) {
  const column = columnOf(sort);
  // A sort that descends reads its list from the other end, and so does a
  // cursor that goes back.
  // rule: way-back
  if (sort.startsWith("-") !== backward) {
    // rule: stable-walk
    const end = place ? countBefore(rows, column, place) : rows.length;
    return rows.slice(Math.max(0, end - count), end).reverse();
  }
  // rule: stable-walk
  const start = place ? countBefore(rows, column, place, true) : 0;
  return rows.slice(start, start + count);
}

function takePage({ limit, sort, genre, cursor }) {
  const { backward } = cursor;
  const list = lists.get(`${columnOf(sort)} ${genre ?? ""}`) ?? [];
  const rows = takeRows(list, sort, cursor, limit + 1);
  const items = rows.slice(0, limit);
  const turned = { place: rows[0] ?? null, backward: !backward };
  // rule: exact-end
  const behind = takeRows(list, sort, turned, 1).length > 0 ? turned : null;
  // rule: exact-end
  const ahead = rows.length > limit ? { place: items.at(-1), backward } : null;
  return backward
    ? { items: items.reverse(), next: behind, prev: ahead }
    : { items, next: ahead, prev: behind };
}

function encodeCursor(cursor, query) {
  if (cursor === null) return null;
  const { place, backward } = cursor;
  const where = place ? [place[columnOf(query.sort)], place.id] : [];
  const text = Buffer.from(JSON.stringify([backward, ...where]));
  return sign(text.toString("base64url"), query);
}

function decodeCursor(token, query) {
  if (token === null) return START;
  const [text] = token.split(".");
  const brought = Buffer.from(token);
  const made = Buffer.from(sign(text, query));
  // Compared as it is spelled, and only then read.
  // rule: opaque-cursor
  if (brought.length !== made.length || !timingSafeEqual(brought, made)) {
    throw queryProblem({ cursor: "Not a cursor of this list." });
  }
  const [backward, value, id] = JSON.parse(Buffer.from(text, "base64url"));
  const place = id ? { [columnOf(query.sort)]: value, id } : null;
  return { place, backward };
}

function sign(text, { sort, genre }) {
  const mac = createHmac("sha256", CURSOR_SECRET);
  // rule: bound-cursor
  mac.update(`books sort=${sort} genre=${genre ?? ""} `);
  return `${text}.${mac.update(text).digest("base64url")}`;
}

// What comes in.

class Problem extends Error {
  constructor(status, detail, { errors, headers } = {}) {
    super(detail);
    Object.assign(this, { status, detail, errors, headers });
  }
}

function queryProblem(wrong) {
  const named = ([parameter, detail]) => ({ parameter, detail });
  const errors = Object.entries(wrong).map(named);
  return new Problem(400, "The query is not valid.", { errors });
}

function readQuery(search) {
  const sent = new URLSearchParams(search);
  const limit = sent.get("limit") ?? String(PAGE_LIMIT_DEFAULT);
  const sort = sent.get("sort") ?? "-added_at";
  const genre = sent.get("genre");
  const wrong = {};
  // rule: bounded-limit
  if (!/^0*[1-9][0-9]*$/.test(limit) || Number(limit) > PAGE_LIMIT_MAX) {
    wrong.limit = `A whole number from 1 to ${PAGE_LIMIT_MAX}.`;
  }
  // rule: listed-sort
  if (!SORTS.includes(sort)) wrong.sort = `One of ${SORTS.join(", ")}.`;
  // rule: listed-sort
  if (genre !== null && !GENRE.test(genre)) {
    wrong.genre = "Words of a to z, joined by hyphens.";
  }
  if (Object.keys(wrong).length > 0) throw queryProblem(wrong);
  const query = { limit: Number(limit), sort, genre };
  return { ...query, cursor: decodeCursor(sent.get("cursor"), query) };
}

async function readBook(request) {
  const [type] = (request.headers["content-type"] ?? "").split(";");
  if (type.trim().toLowerCase() !== "application/json") {
    throw new Problem(415, "A book is sent as application/json.");
  }
  const data = parseJson(await readBody(request));
  const errors = [...bookErrors(data)];
  if (errors.length > 0) {
    throw new Problem(422, "The body is not valid.", { errors });
  }
  return { title: data.title, genre: data.genre };
}

function* bookErrors(data) {
  if (typeof data !== "object" || data === null || Array.isArray(data)) {
    return yield { pointer: "", detail: "A book is an object." };
  }
  const { title, genre, ...unknown } = data;
  if (typeof title !== "string" || !TITLE.test(title)) {
    yield { pointer: "/title", detail: "1 to 200 characters, no controls." };
  }
  if (typeof genre !== "string" || !GENRE.test(genre)) {
    yield { pointer: "/genre", detail: "Words of a to z, joined by hyphens." };
  }
  for (const name of Object.keys(unknown)) {
    const step = name.replaceAll("~", "~0").replaceAll("/", "~1");
    yield { pointer: `/${step.toWellFormed()}`, detail: "Unknown field." };
  }
}

function parseJson(bytes) {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return JSON.parse(decoder.decode(bytes));
  } catch {
    throw new Problem(400, "The body is not JSON.");
  }
}

// Too much is refused at once, but taken off the wire all the same: a client
// that is still sending gets to read the answer.
function readBody(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    const tooLarge = new Problem(413, "A body has at most 1 MiB.");
    request.on("data", (chunk) => {
      size += chunk.length;
      if (size > BODY_MAX) reject(tooLarge);
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", reject);
    const declared = Number(request.headers["content-length"]);
    if (declared > BODY_MAX) reject(tooLarge);
  });
}

// What goes out.

const ROUTES = [
  [/^\/books$/, { GET: listBooks, POST: createBook }],
  [/^\/books\/([1-9][0-9]*)$/, { DELETE: deleteBook, GET: getBook }],
];

async function listBooks({ search }) {
  const query = readQuery(search);
  const { items, ...cursors } = await ask("takePage", query);
  const next = encodeCursor(cursors.next, query);
  const prev = encodeCursor(cursors.prev, query);
  const headers = {
    // rule: links
    Link: pageLinks(query, { prev, next }),
  };
  return { status: 200, headers, body: { items, next, prev } };
}

function pageLinks(query, { prev, next }) {
  const links = { first: "", prev, next, last: encodeCursor(END, query) };
  return Object.entries(links)
    .filter(([, token]) => token !== null)
    .map(([relation, token]) => {
      const { limit, sort, genre } = query;
      // rule: links
      const target = new URLSearchParams({ limit, sort });
      // rule: links
      if (genre) target.set("genre", genre);
      if (token) target.set("cursor", token);
      return `</books?${target}>; rel="${relation}"`;
    })
    .join(", ");
}

async function createBook({ request }) {
  const fields = await readBook(request);
  const added_at = new Date().toISOString();
  const book = await ask("addBook", { ...fields, added_at });
  const headers = { Location: `/books/${book.id}` };
  return { status: 201, headers, body: book };
}

async function getBook({ id }) {
  const book = await ask("findBook", id);
  if (!book) throw new Problem(404);
  return { status: 200, body: book };
}

async function deleteBook({ id }) {
  if (!(await ask("removeBook", id))) throw new Problem(404);
  return { status: 204 };
}

async function route(request) {
  const target = request.url.replace(/^https?:\/\/[^/?]*/i, "");
  const [path, search] = target.split(/\?(.*)/s);
  for (const [pattern, handlers] of ROUTES) {
    const match = pattern.exec(path);
    if (!match) continue;
    const method = request.method === "HEAD" ? "GET" : request.method;
    if (Object.hasOwn(handlers, method)) {
      return handlers[method]({ request, search, id: Number(match[1]) });
    }
    const Allow = ["HEAD", ...Object.keys(handlers)].join(", ");
    throw new Problem(405, undefined, { headers: { Allow } });
  }
  throw new Problem(404);
}

function problemReply(error) {
  const { status = 500, detail, errors, headers } = error;
  if (status === 500 && error.code !== "ECONNRESET") console.error(error);
  const title = STATUS_CODES[status];
  const body = { type: "about:blank", title, status, detail, errors };
  return { status, headers, body };
}

async function answer(request, response) {
  const reply = await route(request).catch(problemReply);
  const { status, headers, body } = reply;
  const text = body === undefined ? "" : JSON.stringify(body);
  if (text) {
    const kind = status < 400 ? "json" : "problem+json";
    response.setHeader("Content-Type", `application/${kind}`);
    response.setHeader("Content-Length", Buffer.byteLength(text));
  }
  if (!server.listening) response.setHeader("Connection", "close");
  response.writeHead(status, headers).end(text);
}

// What Node cannot read as HTTP never becomes a request.
function answerNonsense(error, socket) {
  if (error.code === "ECONNRESET" || !socket.writable) return;
  const known = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };
  const { status, body } = problemReply({ status: known[error.code] ?? 400 });
  const text = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${status} ${body.title}`,
    "Content-Type: application/problem+json",
    `Content-Length: ${text.length}`,
    "Connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${text}`);
}

// Processes: one keeps the books; with several workers it is the primary, and
// they ask it, so that all of them show the same books.

const server = createServer({ keepAliveTimeout: 75_000 }, answer);
const findBook = (id) => books.get(id);
const store = { takePage, findBook, addBook, removeBook };
const asked = new Map();
let tickets = 0;

async function ask(name, argument) {
  if (cluster.isPrimary) return store[name](argument);
  const ticket = ++tickets;
  process.send({ ticket, name, argument });
  return new Promise((resolve) => asked.set(ticket, resolve));
}

function serve() {
  const idle = new Set();
  server.on("connection", (socket) => {
    idle.add(socket);
    socket.on("close", () => idle.delete(socket));
  });
  server.on("request", ({ socket }, response) => {
    idle.delete(socket);
    response.on("close", () => {
      if (!server.listening) socket.end();
      else if (!socket.destroyed) idle.add(socket);
    });
  });
  server.on("clientError", answerNonsense);
  server.on("error", (error) => refuseToStart(error.message));
  server.listen(PORT, HOST, () => {
    console.log(`Process ${process.pid} listens on ${HOST}, port ${PORT}`);
  });
  onStop(() => {
    server.close(() => process.exit());
    for (const socket of idle) socket.destroy();
    setTimeout(() => server.closeAllConnections(), DRAIN_MS).unref();
  });
  process.on("message", ({ ticket, result }) => {
    asked.get(ticket)(result);
    asked.delete(ticket);
  });
}

function supervise() {
  let stopping = false;
  const stop = () => {
    stopping = true;
    const workers = Object.values(cluster.workers);
    for (const worker of workers) worker.process.kill("SIGTERM");
    if (workers.length === 0) process.exit();
  };
  cluster.on("message", (worker, { ticket, name, argument }) => {
    const result = store[name](argument);
    // The callback takes the error of a worker that is gone.
    worker.send({ ticket, result }, () => {});
  });
  cluster.on("exit", () => {
    // A worker that is lost takes the service with it, for all to see.
    if (!stopping) process.exitCode = 1;
    stop();
  });
  onStop(stop);
  for (let number = 0; number < WORKERS; number++) cluster.fork();
}

function onStop(stop) {
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
}

if (cluster.isPrimary) seedBooks(SEED);
if (cluster.isPrimary && WORKERS > 1) supervise();
else serve();

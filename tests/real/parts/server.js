// Node's own HTTP server: fixed bodies and a digest. usage: node server.js PORT
//
//   GET /blob/N    N bytes of a fixed pattern
//   GET /gib       the file named by $SERVED_FILE, streamed
//   PUT /digest    sha256 of the body, which is read as it arrives and never held
//   GET /slow/N    answers after N milliseconds
//   POST /…        201 with a small JSON document, once the body has been read
"use strict";

const { createHash } = require("node:crypto");
const { createReadStream } = require("node:fs");
const { createServer } = require("node:http");

const PATTERN = Buffer.alloc(65536, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));

const blob = (size) => Buffer.alloc(size, PATTERN);

const server = createServer((request, response) => {
  const [, word, number] = request.url.split("/");
  if (word === "blob") {
    response.setHeader("content-type", "application/octet-stream");
    response.end(blob(Number(number)));
  } else if (word === "gib") {
    createReadStream(process.env.SERVED_FILE).pipe(response);
  } else if (word === "digest") {
    const digest = createHash("sha256");
    request.on("data", (piece) => digest.update(piece));
    request.on("end", () => response.end(digest.digest("hex")));
  } else if (word === "slow") {
    setTimeout(() => response.end("slow\n"), Number(number));
  } else if (request.method === "POST") {
    request.resume();
    request.on("end", () => {
      response.writeHead(201, { "content-type": "application/json" });
      response.end('{"done":true}\n');
    });
  } else {
    response.writeHead(404).end("not here\n");
  }
});

server.listen(Number(process.argv[2]), "127.0.0.1");

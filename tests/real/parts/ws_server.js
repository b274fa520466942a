// A WebSocket server (the package `ws`) that says back what it hears. usage: node ws_server.js PORT
//
//   "close CODE REASON"   it closes with that code
//   "vanish"              its connection ends without a word
//   path /denied          the handshake is answered 403
// Of the subprotocols that a client offers it takes "echo.v2".
"use strict";

const { createServer } = require("node:http");
const { WebSocketServer } = require("ws");

const server = createServer((_, response) => response.writeHead(426).end());
const sockets = new WebSocketServer({
  server,
  perMessageDeflate: true,
  maxPayload: 64 << 20,
  verifyClient: ({ req }, done) => done(req.url !== "/denied", 403, "Forbidden"),
  handleProtocols: (offered) => (offered.has("echo.v2") ? "echo.v2" : false),
});

sockets.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, isBinary) => {
    const [word, code, reason] = isBinary ? [] : data.toString().split(" ");
    if (word === "close") socket.close(Number(code), reason);
    else if (word === "vanish") socket.terminate();
    else socket.send(data, { binary: isBinary });
  });
});

server.listen(Number(process.argv[2]), "127.0.0.1");

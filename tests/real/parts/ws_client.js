// The package `ws` as a client. usage: node ws_client.js URL
//
// 100 messages, text and binary in turn, come back in order; a ping is answered; the server is asked to
// close with 4001. Prints the code and the reason of the end.
"use strict";

const { WebSocket } = require("ws");

const COUNT = 100;
const message = (number) => (number % 2 ? Buffer.alloc(number * 1000, number) : `text-${number}`);

const socket = new WebSocket(process.argv[2]);
let next = 0;
let isAnswered = false;

const giveUp = (why) => {
  console.error(why);
  process.exit(1);
};
setTimeout(() => giveUp(`no end after ${next} messages`), 15000);
socket.on("error", (error) => giveUp(error.message));
socket.on("open", () => {
  for (let number = 0; number < COUNT; number += 1) socket.send(message(number));
  socket.ping("there?");
});
socket.on("pong", (data) => {
  isAnswered = data.toString() === "there?";
  if (next === COUNT) socket.send("close 4001 asked");
});
socket.on("message", (data, isBinary) => {
  if (isBinary !== Boolean(next % 2) || !data.equals(Buffer.from(message(next)))) giveUp(`message ${next} differs`);
  next += 1;
  if (next === COUNT && isAnswered) socket.send("close 4001 asked");
});
socket.on("close", (code, reason) => {
  console.log(next, isAnswered, code, reason.toString());
  process.exit(next === COUNT && isAnswered ? 0 : 1);
});

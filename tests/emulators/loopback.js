// Loaded before kinesis-local, which listens on every interface and has no setting for that: keeps it on this machine.
// docs/contributing/EMULATORS.md: `listens-everywhere`.
const { Server } = require("node:net");
const listen = Server.prototype.listen;

Server.prototype.listen = function (...args) {
  if (typeof args[0] === "object") {
    return listen.call(this, { ...args[0], host: "127.0.0.1" }, ...args.slice(1));
  }
  const [port, ...rest] = args;
  return listen.call(this, port, "127.0.0.1", ...rest.filter((arg) => typeof arg !== "string"));
};

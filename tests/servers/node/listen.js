// node listen.js <library> <port>: an HL7 server of somebody else's. One JSON line for each message that it read.
const [library, port] = [process.argv[2], Number(process.argv[3])];

function tell(facts) {
  process.stdout.write(JSON.stringify(facts) + "\n");
}

function serveWithNodeHl7Server() {
  const { Server } = require("node-hl7-server");
  const inbound = new Server({ bindAddress: "127.0.0.1" }).createInbound({ port, overrideMSH: true }, async (req, res) => {
    const message = req.getMessage();
    tell({ control_id: message.get("MSH.10").toString(), event: message.get("MSH.9.2").toString() });
    await res.sendResponse("AA");
  });
  inbound.on("listen", () => tell({ listening: port }));
}

function serveWithSimpleHl7() {
  const hl7 = require("simple-hl7");
  const app = hl7.tcp();
  app.use((req, res, next) => {
    tell({ control_id: req.msg.header.getField(8), event: req.msg.header.getComponent(7, 2) });
    next();
  });
  app.use((req, res, next) => res.end());
  app.start(port);
  setTimeout(() => tell({ listening: port }), 200);
}

({ "node-hl7-server": serveWithNodeHl7Server, "simple-hl7": serveWithSimpleHl7 })[library]();

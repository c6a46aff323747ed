// node send.js <port> <file>…: node-hl7-client sends each message over one connection, the next one once the answer to the one
// before is read. One JSON line for each answer, as it reads it.
const fs = require("node:fs");
const { Client, Message } = require("node-hl7-client");

const [port, files] = [Number(process.argv[2]), process.argv.slice(3)];

function tell(facts) {
  process.stdout.write(JSON.stringify(facts) + "\n");
}

function read(answer, path) {
  try {
    return answer.get(path).toString();
  } catch {
    return "";
  }
}

async function next() {
  const file = files.shift();
  if (file === undefined) {
    await connection.close();
    process.exit(0);
  }
  const text = fs.readFileSync(file, "utf8");
  await connection.sendMessage(new Message({ text }));
}

const client = new Client({ host: "127.0.0.1" });
const connection = client.createConnection({ port, waitAck: true }, async (response) => {
  const answer = response.getMessage();
  tell({
    event: read(answer, "MSH.9.2"),
    structure: read(answer, "MSH.9.3"),
    code: read(answer, "MSA.1"),
    control_id: read(answer, "MSA.2"),
    error: read(answer, "ERR.3.1"),
    application: read(answer, "ERR.5.1"),
  });
  await next();
});
connection.on("connect", () => void next());
connection.on("error", (error) => tell({ failed: String(error) }));

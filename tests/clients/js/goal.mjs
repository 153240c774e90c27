// Gives a goal to the gateway at a URL, over a binding, and prints what comes, a line each; or an
// answer, to the task that asked for it.
//   node goal.mjs URL JSONRPC|HTTP+JSON GOAL [TASK]

import { randomUUID } from "node:crypto";
import { ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";

const [url, binding, goal, asked = ""] = process.argv.slice(2);
const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
  transports: [new JsonRpcTransportFactory(), new RestTransportFactory()],
  preferredTransports: [binding],
});
const client = await new ClientFactory(options).createFromUrl(url);

const message = {
  messageId: randomUUID(),
  role: 1, // ROLE_USER
  parts: [{ content: { $case: "text", value: goal }, metadata: undefined, filename: "", mediaType: "" }],
  contextId: "", taskId: asked, extensions: [], referenceTaskIds: [], metadata: undefined,
};

let taskId = asked;
for await (const event of client.sendMessageStream({ tenant: "", message, configuration: undefined, metadata: undefined })) {
  taskId ||= event.payload?.value?.id ?? "";
  console.log(JSON.stringify({ event }));
}
const task = await client.getTask({ tenant: "", id: taskId, historyLength: undefined });
console.log(JSON.stringify({ task }));

// Usage: node server.mjs api.json  (says its port on stdout)
import express from "express";
import cookieParser from "cookie-parser";
import OpenApiValidator from "express-openapi-validator";

const app = express();
app.set("query parser", "extended");
app.use(cookieParser());
app.use(express.json({ type: ["application/json", "application/*+json"] }));
app.use(express.urlencoded({ extended: true }));
app.use(express.text({ type: "text/*" }));
app.use(express.raw({ type: "application/octet-stream" }));
app.use(
  OpenApiValidator.middleware({
    apiSpec: process.argv[2],
    validateRequests: true,
    validateResponses: false,
    fileUploader: {},
  }),
);
app.use((request, response) => {
  const files = (request.files ?? []).map((file) => ({
    field: file.fieldname,
    name: file.originalname,
    type: file.mimetype,
    text: file.buffer.toString("utf8"),
  }));
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => name.startsWith("x-")),
  );
  const body = Buffer.isBuffer(request.body) ? request.body.toString("hex") : request.body;
  response.json({
    path: request.openapi?.pathParams ?? {},
    query: request.query,
    headers,
    cookies: request.cookies,
    body,
    files,
  });
});
app.use((error, request, response, next) => {
  response.status(error.status ?? 500).json({ refused: error.message, errors: error.errors });
});
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));

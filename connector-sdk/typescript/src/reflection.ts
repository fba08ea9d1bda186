/** Server reflection, v1 and v1alpha: what this process serves, for `buf curl`, grpcurl and the like. */

import { create, type DescFile, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { status as Code, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { file_google_rpc_status } from "./gen/google/rpc/status_pb.js";
import { file_grpc_health_v1_health } from "./gen/grpc/health/v1/health_pb.js";
import {
  file_grpc_reflection_v1_reflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
  ServerReflection as V1,
} from "./gen/grpc/reflection/v1/reflection_pb.js";
import { file_grpc_reflection_v1alpha_reflection, ServerReflection as V1Alpha } from "./gen/grpc/reflection/v1alpha/reflection_pb.js";
import { file_superfasttt_connector_v1_connector } from "./gen/superfasttt/connector/v1/connector_pb.js";
import type { Handling } from "./grpc.js";
import type { Send } from "./outlet.js";

const SERVED: readonly DescFile[] = [
  file_superfasttt_connector_v1_connector,
  file_grpc_health_v1_health,
  file_grpc_reflection_v1_reflection,
  file_grpc_reflection_v1alpha_reflection,
];

type Question = Pick<ServerReflectionRequest, "host" | "messageRequest">;
type Answer = NonNullable<Exclude<MessageInitShape<typeof ServerReflectionResponseSchema>, Message>["messageResponse"]>;

/** Both versions have the same messages under another package, so one implementation answers for both. */
export function reflectionHandlers(handling: Handling): { v1: UntypedServiceImplementation; v1alpha: UntypedServiceImplementation } {
  const answerEach = async (requests: AsyncIterable<Question>, send: Send) => {
    for await (const { host, messageRequest } of requests) {
      const originalRequest = create(ServerReflectionRequestSchema, { host, messageRequest });
      const init: MessageInitShape<typeof ServerReflectionResponseSchema> = { validHost: host, originalRequest };
      const response = create(ServerReflectionResponseSchema, { ...init, messageResponse: answer(messageRequest) });
      await send(toBinary(ServerReflectionResponseSchema, response));
    }
  };
  return {
    v1: { serverReflectionInfo: handling.bidiStreaming(V1.method.serverReflectionInfo, answerEach) },
    v1alpha: {
      serverReflectionInfo: handling.bidiStreaming(V1Alpha.method.serverReflectionInfo, (requests, send) =>
        answerEach(requests as AsyncIterable<Question>, send),
      ),
    },
  };
}

const FILES = withDependencies([...SERVED, file_google_rpc_status]);

function answer(request: ServerReflectionRequest["messageRequest"]): Answer {
  switch (request.case) {
    case "listServices": {
      const service = SERVED.flatMap((file) => file.services).map(({ typeName }) => ({ name: typeName }));
      return { case: "listServicesResponse", value: { service } };
    }
    case "fileByFilename":
      return files([...FILES].find((file) => file.proto.name === request.value));
    case "fileContainingSymbol":
      return files([...FILES].find((file) => symbolsOf(file).has(request.value)));
    case "allExtensionNumbersOfType": {
      const isKnown = [...FILES].some((file) => file.messages.some(({ typeName }) => typeName === request.value));
      return isKnown ? { case: "allExtensionNumbersResponse", value: { baseTypeName: request.value } } : missing();
    }
    default:
      return missing();
  }
}

/** The file and all that it needs, so that a client needs not ask again. */
function files(file: DescFile | undefined): Answer {
  if (file === undefined) return missing();
  const fileDescriptorProto = [...withDependencies([file])].map((needed) => toBinary(FileDescriptorProtoSchema, needed.proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function missing(): Answer {
  return { case: "errorResponse", value: { errorCode: Code.NOT_FOUND, errorMessage: "nothing of this name is served" } };
}

function withDependencies(files: readonly DescFile[], found = new Set<DescFile>()): Set<DescFile> {
  for (const file of files) {
    if (found.has(file)) continue;
    found.add(file);
    withDependencies(file.dependencies, found);
  }
  return found;
}

function symbolsOf(file: DescFile): Set<string> {
  const symbols = new Set<string>();
  const addMessages = (messages: DescFile["messages"]) => {
    for (const message of messages) {
      symbols.add(message.typeName);
      for (const field of message.fields) symbols.add(`${message.typeName}.${field.name}`);
      for (const { typeName } of message.nestedEnums) symbols.add(typeName);
      addMessages(message.nestedMessages);
    }
  };
  addMessages(file.messages);
  for (const { typeName } of file.enums) symbols.add(typeName);
  for (const service of file.services) {
    symbols.add(service.typeName);
    for (const method of service.methods) symbols.add(`${service.typeName}.${method.name}`);
  }
  return symbols;
}

package com.superfasttt.tracker;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import superfasttt.connector.v1.Errors.Reason;

/** A failure with its reason, which decides what the server does about it. */
final class ConnectorException extends RuntimeException {
    private final transient Reason reason;
    private final long retryAfterSeconds;

    ConnectorException(Reason reason, String message) {
        this(reason, message, 0);
    }

    /** With the seconds to wait before it is tried again; 0 where they are not known. */
    ConnectorException(Reason reason, String message, long retryAfterSeconds) {
        // Without a stack: it is an answer, and not a fault of this program.
        super(message, null, false, false);
        this.reason = reason;
        this.retryAfterSeconds = retryAfterSeconds;
    }

    Reason reason() {
        return reason;
    }

    /** What travels within a stream that goes on. */
    superfasttt.connector.v1.Errors.Error toProto() {
        return superfasttt.connector.v1.Errors.Error.newBuilder().setReason(reason).setMessage(getMessage()).build();
    }

    /** What ends a call. */
    StatusRuntimeException toStatus() {
        String name = reason.name().substring("REASON_".length());
        ErrorInfo info = ErrorInfo.newBuilder().setDomain("connectors.superfasttt").setReason(name).build();
        Status.Builder status = Status.newBuilder().setCode(code().getNumber()).setMessage(getMessage()).addDetails(Any.pack(info));
        if (retryAfterSeconds > 0) {
            status.addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(Duration.newBuilder().setSeconds(retryAfterSeconds)).build()));
        }
        return StatusProto.toStatusRuntimeException(status.build());
    }

    /** The gRPC code that goes with a reason, of those that this connector gives. */
    private Code code() {
        return switch (reason) {
            case REASON_CREDENTIAL_REVOKED -> Code.UNAUTHENTICATED;
            case REASON_ACCESS_DENIED -> Code.PERMISSION_DENIED;
            case REASON_NOT_FOUND -> Code.NOT_FOUND;
            case REASON_RATE_LIMITED -> Code.RESOURCE_EXHAUSTED;
            case REASON_CURSOR_INVALID -> Code.OUT_OF_RANGE;
            case REASON_SETTINGS_INVALID -> Code.INVALID_ARGUMENT;
            case REASON_SOURCE_UNAVAILABLE -> Code.UNAVAILABLE;
            case REASON_UNIMPLEMENTED -> Code.UNIMPLEMENTED;
            default -> Code.INTERNAL;
        };
    }
}

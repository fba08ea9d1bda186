package com.superfasttt.tracker;

import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import superfasttt.connector.v1.ConnectorOuterClass.ItemError;
import superfasttt.connector.v1.ConnectorOuterClass.NormalizeRequest;
import superfasttt.connector.v1.ConnectorOuterClass.NormalizeResponse;
import superfasttt.connector.v1.ConnectorOuterClass.RawItem;
import superfasttt.connector.v1.Errors.Reason;

/** The Normalize rpc: kept items in, documents out, one for one and in order. */
final class Normalizing implements StreamObserver<NormalizeRequest> {
    private final Normalizer normalizer;
    private final ServerCallStreamObserver<NormalizeResponse> out;
    private boolean started;
    private boolean ended;

    Normalizing(Normalizer normalizer, ServerCallStreamObserver<NormalizeResponse> out) {
        this.normalizer = normalizer;
        this.out = out;
        // The next item is asked for when the answer of the last one is on its way.
        out.disableAutoRequest();
        out.setOnReadyHandler(() -> {
            if (!ended) {
                out.request(1);
            }
        });
    }

    @Override
    public void onNext(NormalizeRequest request) {
        if (request.hasStart() == started || request.getKindCase() == NormalizeRequest.KindCase.KIND_NOT_SET) {
            ended = true;
            String message = "the first message of Normalize carries start, every later one a raw item";
            out.onError(new ConnectorException(Reason.REASON_PROTOCOL_VIOLATION, message).toStatus());
            return;
        }
        if (request.hasRaw()) {
            out.onNext(answer(request.getRaw()));
        }
        started = true;
        if (out.isReady()) {
            out.request(1);
        }
    }

    private NormalizeResponse answer(RawItem raw) {
        ConnectorException failed;
        try {
            return NormalizeResponse.newBuilder().setDocument(normalizer.toDocument(raw)).build();
        } catch (ConnectorException told) {
            failed = told;
        } catch (RuntimeException fault) {
            failed = ConnectorService.unexpected(fault);
        }
        return NormalizeResponse.newBuilder().setItemError(ItemError.newBuilder().setId(raw.getId()).setError(failed.toProto())).build();
    }

    @Override
    public void onError(Throwable gone) {
        ended = true;
    }

    @Override
    public void onCompleted() {
        if (!ended) {
            out.onCompleted();
        }
    }
}

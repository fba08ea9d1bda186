package com.superfasttt.tracker;

import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import io.grpc.stub.ServerCallStreamObserver;
import superfasttt.connector.v1.ConnectorOuterClass.Change;
import superfasttt.connector.v1.ConnectorOuterClass.Checkpoint;
import superfasttt.connector.v1.ConnectorOuterClass.Deletion;
import superfasttt.connector.v1.ConnectorOuterClass.ItemError;
import superfasttt.connector.v1.ConnectorOuterClass.Page;
import superfasttt.connector.v1.ConnectorOuterClass.Present;
import superfasttt.connector.v1.ConnectorOuterClass.PullMode;
import superfasttt.connector.v1.ConnectorOuterClass.PullRequest;
import superfasttt.connector.v1.ConnectorOuterClass.PullResponse;

/** Fills pages, and sends each when the stream takes it: HTTP/2 flow control is the only back-pressure there is. */
final class PullStream implements DocumentConnector.Sink {
    private static final int DEFAULT_PAGE_BYTES = 1024 * 1024;
    private static final int DEFAULT_PAGE_CHANGES = 500;
    private final Normalizer normalizer;
    private final ServerCallStreamObserver<PullResponse> out;
    private final PullMode mode;
    private final boolean wantRaw;
    private final int maxBytes;
    private final int maxChanges;
    private Page.Builder page = Page.newBuilder();
    private int pageBytes;

    /** Makes the sink of one pull; it has to be made before the rpc's method returns. */
    PullStream(PullRequest request, Normalizer normalizer, ServerCallStreamObserver<PullResponse> out) {
        this.normalizer = normalizer;
        this.out = out;
        mode = request.getMode();
        wantRaw = request.getWantRaw();
        int bytes = request.getLimits().getMaxPageBytes();
        int changes = request.getLimits().getMaxPageChanges();
        // Both are unsigned: what is negative here is more than anybody needs.
        maxBytes = bytes <= 0 ? DEFAULT_PAGE_BYTES : Math.min(bytes, DEFAULT_PAGE_BYTES);
        maxChanges = changes <= 0 ? DEFAULT_PAGE_CHANGES : Math.min(changes, DEFAULT_PAGE_CHANGES);
        out.setOnReadyHandler(this::wake);
    }

    @Override
    public void item(String id, String version, Struct raw) throws InterruptedException {
        Change.Builder change = Change.newBuilder();
        try {
            if (mode == PullMode.PULL_MODE_LIST) {
                change.setPresent(Present.newBuilder().setId(id).setVersion(version));
            } else if (wantRaw) {
                change.setRaw(normalizer.toRaw(id, version, raw));
            } else {
                change.setDocument(normalizer.toDocument(id, version, raw));
            }
        } catch (ConnectorException failed) {
            itemError(id, failed);
            return;
        }
        push(change.build());
    }

    @Override
    public void deletion(String id) throws InterruptedException {
        push(Change.newBuilder().setDeletion(Deletion.newBuilder().setId(id)).build());
    }

    @Override
    public void itemError(String id, ConnectorException error) throws InterruptedException {
        push(Change.newBuilder().setItemError(ItemError.newBuilder().setId(id).setError(error.toProto())).build());
    }

    @Override
    public void checkpoint(ByteString cursor, boolean hasMore) throws InterruptedException {
        page.setCheckpoint(Checkpoint.newBuilder().setCursor(cursor).setHasMore(hasMore));
        flush();
    }

    @Override
    public void completeListing(ByteString cursor) throws InterruptedException {
        page.setCheckpoint(Checkpoint.newBuilder().setCursor(cursor).setListingComplete(true));
        flush();
    }

    /** Sends what is left. */
    void finish() throws InterruptedException {
        if (page.getChangesCount() > 0) {
            flush();
        }
    }

    private void push(Change change) throws InterruptedException {
        // With its field number and length.
        int bytes = change.getSerializedSize() + 6;
        if (page.getChangesCount() > 0 && (pageBytes + bytes > maxBytes || page.getChangesCount() >= maxChanges)) {
            flush();
        }
        page.addChanges(change);
        pageBytes += bytes;
    }

    private void flush() throws InterruptedException {
        synchronized (this) {
            while (!out.isReady()) {
                if (out.isCancelled()) {
                    throw new InterruptedException();
                }
                wait();
            }
        }
        out.onNext(PullResponse.newBuilder().setPage(page).build());
        page = Page.newBuilder();
        pageBytes = 0;
    }

    private synchronized void wake() {
        notifyAll();
    }
}

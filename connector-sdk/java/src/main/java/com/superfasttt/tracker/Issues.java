package com.superfasttt.tracker;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.protobuf.util.JsonFormat;
import java.nio.charset.StandardCharsets;
import superfasttt.connector.v1.Document.DocumentEnvelope;
import superfasttt.connector.v1.Document.Permissions;
import superfasttt.connector.v1.ConnectorOuterClass.RawItem;
import superfasttt.connector.v1.Errors.Reason;

/** From an issue as the tracker gives it to a document. */
final class Issues implements Normalizer {
    private static final String SCHEMA = "issue/1";
    /** The contract's limits. */
    private static final int MAX_CONTENT_BYTES = 1024 * 1024;
    private static final int MAX_TITLE_CHARACTERS = 1024;

    @Override
    public RawItem toRaw(String id, String version, Struct issue) {
        try {
            String json = JsonFormat.printer().omittingInsignificantWhitespace().print(issue);
            return RawItem.newBuilder().setId(id).setVersion(version).setSchema(SCHEMA).setData(ByteString.copyFromUtf8(json)).build();
        } catch (InvalidProtocolBufferException noJson) {
            throw new ConnectorException(Reason.REASON_INTERNAL, "the issue cannot be written as JSON");
        }
    }

    @Override
    public DocumentEnvelope toDocument(RawItem raw) {
        if (!raw.getSchema().equals(SCHEMA)) {
            throw new ConnectorException(Reason.REASON_INTERNAL, "the issue was kept in another schema: pull it again");
        }
        try {
            Struct.Builder issue = Struct.newBuilder();
            JsonFormat.parser().merge(raw.getData().toStringUtf8(), issue);
            return toDocument(raw.getId(), raw.getVersion(), issue.build());
        } catch (InvalidProtocolBufferException noJson) {
            throw new ConnectorException(Reason.REASON_INTERNAL, "the kept issue does not parse");
        }
    }

    @Override
    public DocumentEnvelope toDocument(String id, String version, Struct issue) {
        String title = text(issue, "title");
        if (title.isEmpty()) {
            throw new ConnectorException(Reason.REASON_CONTENT_UNREADABLE, "the issue has no title");
        }
        String body = text(issue, "body");
        if (body.getBytes(StandardCharsets.UTF_8).length > MAX_CONTENT_BYTES) {
            throw new ConnectorException(Reason.REASON_CONTENT_TOO_LARGE, "the issue's text is longer than a message may be");
        }
        boolean isPrivate = issue.getFieldsOrDefault("private", Value.getDefaultInstance()).getBoolValue();
        Permissions.Builder permissions = Permissions.newBuilder().setVisibility(isPrivate ? "private" : "organization");
        if (isPrivate) {
            permissions.addAllow("user:" + text(issue, "author"));
        }
        int end = title.offsetByCodePoints(0, Math.min(title.codePointCount(0, title.length()), MAX_TITLE_CHARACTERS));
        return DocumentEnvelope.newBuilder().setId(id).setVersion(version).setTitle(title.substring(0, end)).setContent(body)
                .setUrl(text(issue, "url")).setPermissions(permissions).build();
    }

    private static String text(Struct issue, String name) {
        return issue.getFieldsOrDefault(name, Value.getDefaultInstance()).getStringValue();
    }
}

import DFSRPC

/// What a chunk is read for: a client waits for its bytes, repair does not.
enum ReadPurpose: Sendable, Hashable {
  case client
  case repair

  private static let field = "dfs-purpose"
  private static let repairValue = "repair"

  /// As the caller says it; a client when it says nothing.
  init(of context: CallContext) {
    self = context.metadata[Self.field] == Self.repairValue ? .repair : .client
  }

  /// What a call for repair carries.
  static var repairMetadata: Metadata {
    var metadata = Metadata()
    // Both are constants that every check lets pass.
    try? metadata.append(repairValue, for: field)
    return metadata
  }
}

package import DFSCore

/// Allocates the next indices of an open upload to groups.
package struct AllocateChunks: Mutation {
  package struct Outcome: Sendable, Hashable {
    /// The indices that this call allocated, in the order of its groups.
    package var indices: Range<UInt32>
  }

  package var upload: UploadID
  /// The group of each new index; 1 to `Limits.allocation`.
  package var groups: [GroupID]

  package init(upload: UploadID, groups: [GroupID]) {
    self.upload = upload
    self.groups = groups
  }
}

extension AllocateChunks {
  package static var kind: OperationKind { .allocateChunks }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.inode(upload)
    // Not the groups: the coordinator chooses them anew when a client asks again.
    writer.number(UInt(groups.count))
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.number(outcome.indices.lowerBound)
    writer.number(UInt32(outcome.indices.count))
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    let start: UInt32 = try reader.number()
    let (end, overflow) = start.addingReportingOverflow(try reader.number())
    guard !overflow else { throw reader.corrupt("a range of indices is out of range") }
    return Outcome(indices: start..<end)
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    var record = try transaction.openUpload(upload)
    // What was allocated to it after the copy that was restored is not known: its indices may be on disks already.
    guard SerialNumber(rawValue: upload.rawValue).incarnation == transaction.context.incarnation else {
      throw DFSError(
        .failedPrecondition,
        "upload \(upload) began before the metadata was restored: write the file again from its beginning",
        metadata: ["upload": upload.description])
    }
    let start = record.allocated
    guard !groups.isEmpty else {
      throw DFSError(.invalidArgument, "at least one chunk is allocated at a time")
    }
    try transaction.allocate(groups, to: upload, &record)
    try transaction.put(record, at: Keys.upload(upload))
    transaction.note(.leaseStarted(upload))
    return Outcome(indices: start..<record.allocated)
  }
}

extension Transaction {
  /// Gives the next indices of `upload` to `groups`: fills its last page, then opens the next.
  mutating func allocate(_ groups: [GroupID], to upload: UploadID, _ record: inout UploadRecord) throws {
    guard groups.count <= Limits.allocation else {
      throw DFSError(.invalidArgument, "at most \(Limits.allocation) chunks are allocated at a time")
    }
    let size = Limits.segmentChunks
    guard Int(record.allocated) + groups.count <= (Limits.segments + Limits.pagesPerSeal) * size else {
      throw DFSError(.exhausted, "a file has at most \(Limits.segments * size) chunks: take larger ones")
    }
    for id in Set(groups) {
      guard let group = try groupRow(id) else { throw DFSError(.notFound, "there is no group \(id)") }
      guard group.policy == record.policy else {
        throw DFSError(
          .failedPrecondition,
          "group \(id) keeps \(group.policy.replicas) copies, the upload needs "
            + "\(record.policy.replicas)")
      }
    }
    var rest = groups[...]
    while !rest.isEmpty {
      let number = record.allocated / UInt32(size)
      let key = Keys.allocation(upload, number)
      let isNew = Int(record.allocated) % size == 0
      var page = isNew ? AllocationPage(groups: []) : try allocationPage(upload, number)
      let part = rest.prefix(size - page.groups.count)
      page.append(part)
      if isNew { insert(page, at: key) } else { try put(page, at: key) }
      record.allocated += UInt32(part.count)
      rest = rest.dropFirst(part.count)
    }
  }

  mutating func allocationPage(_ upload: UploadID, _ number: UInt32) throws -> AllocationPage {
    guard let page = try record(Keys.allocation(upload, number), AllocationPage.self) else {
      throw DFSError(.corrupt, "upload \(upload) has no allocation page \(number)")
    }
    return page
  }
}

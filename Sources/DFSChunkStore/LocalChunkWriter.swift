import DFSCodec
import DFSCore
import DFSCrypto
import Synchronization

/// Writes one chunk. Keeps a small one (256 KiB by default) in memory; with the first byte more it becomes a
/// file, which is written past the page cache, so that the sync at the end finds little left to do: a large piece from
/// where it arrived, when that begins at a page, and the rest in halves of a MiB where a buffer is free.
final class LocalChunkWriter: ChunkWriter {
  /// Less than this is gathered.
  private static let directLength = 256 << 10

  private enum Place: Sendable {
    case memory([UInt8])
    /// What the buffer holds comes behind the `written` bytes that the file has. It is taken when it is needed.
    case file(path: String, any OpenFile, PageBuffer?, written: Int)
    /// Finished, aborted or failed.
    case nowhere
  }

  private struct State: Sendable {
    var place = Place.memory([])
    var length = 0
    var checksums: [UInt32] = []
    var leaves: [UInt8] = []
    var tree = MerkleFrontier()
    var claim: ByteCount
    /// A piece ended with a short block: no more may follow.
    var ended = false
  }

  private let plan: ChunkPlan
  private let store: LocalChunkStore
  private let state: Mutex<State>

  init(_ plan: ChunkPlan, claim: ByteCount, store: LocalChunkStore) {
    self.plan = plan
    self.store = store
    state = Mutex(State(claim: claim))
  }

  deinit { abort() }

  var length: Int { state.withLock { $0.length } }

  func append(_ payload: UnsafeRawBufferPointer, checksums: [UInt32], leaves: UnsafeRawBufferPointer) throws {
    try state.withLock { state in
      do {
        try check(payload, checksums, leaves, after: state)
        try store.requireOpen()
        try store.failure.requireWritable()
        try write(payload, &state)
      } catch {
        discard(&state)
        throw error
      }
      state.length += payload.count
      state.ended = payload.count % Block.size != 0
      state.checksums.append(contentsOf: checksums)
      state.leaves.append(contentsOf: leaves)
      for start in stride(from: 0, to: leaves.count, by: Digest.byteCount) {
        state.tree.append(
          Digest(loading: UnsafeRawBufferPointer(rebasing: leaves[start..<start + Digest.byteCount])))
      }
    }
  }

  private func check(
    _ payload: UnsafeRawBufferPointer, _ checksums: [UInt32], _ leaves: UnsafeRawBufferPointer,
    after state: State
  ) throws {
    if case .nowhere = state.place {
      throw DFSError(.failedPrecondition, "the writer of chunk \(plan.chunk) has ended")
    }
    let blocks = Block.count(of: payload.count)
    guard !payload.isEmpty, !state.ended, state.length + payload.count <= plan.length ?? plan.largestLength,
      checksums.count == blocks, leaves.count == blocks * Digest.byteCount
    else {
      throw DFSError(
        .invalidArgument,
        "chunk \(plan.chunk) got \(payload.count) bytes with \(checksums.count) checksums at \(state.length)")
    }
    for (index, checksum) in checksums.enumerated() {
      let start = index * Block.size
      let block = UnsafeRawBufferPointer(rebasing: payload[start..<min(start + Block.size, payload.count)])
      guard CRC32C.checksum(block) == checksum else {
        throw DFSError(
          .corrupt, "chunk \(plan.chunk) arrived damaged at byte \(state.length + start); send it again")
      }
    }
  }

  private func write(_ payload: UnsafeRawBufferPointer, _ state: inout State) throws {
    let end = state.length + payload.count
    if case .memory(var bytes) = state.place {
      guard max(end, plan.length ?? 0) > store.options.smallChunkLimit.int else {
        // Emptied first, or the array would be shared and copied by the append.
        state.place = .nowhere
        if bytes.isEmpty { bytes.reserveCapacity(ChunkFooter.storedLength(of: plan.length ?? payload.count)) }
        bytes.append(contentsOf: payload)
        state.place = .memory(bytes)
        return
      }
      let (path, file) = try store.failure.watching { try store.files.createTemporary() }
      state.place = .file(path: path, file, nil, written: 0)
      try bytes.withUnsafeBytes { try add($0, &state) }
    }
    try add(payload, &state)
  }

  /// Writes a large piece that begins at a page; puts what is left into the file's buffer, and writes that whenever it
  /// is full.
  private func add(_ bytes: UnsafeRawBufferPointer, _ state: inout State) throws {
    guard case .file(let path, let file, var buffer, var written) = state.place, !bytes.isEmpty else {
      return
    }
    defer { state.place = .file(path: path, file, buffer, written: written) }
    var rest = bytes[...]
    let end = written + (buffer?.count ?? 0)
    if bytes.count >= Self.directLength, end % Page.size == 0, Page.distance(from: bytes.baseAddress) == 0 {
      if let buffer, buffer.count > 0 {
        try store.failure.watching { try file.writePages(buffer.bytes, at: written) }
        buffer.empty()
      }
      let pages = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - bytes.count % Page.size)])
      try store.failure.watching { try file.writePages(pages, at: end) }
      written = end + pages.count
      rest = rest.dropFirst(pages.count)
    }
    guard !rest.isEmpty else { return }
    if buffer == nil { buffer = store.pageBuffers.take() }
    guard let buffer else {
      try store.failure.watching { try file.write(UnsafeRawBufferPointer(rebasing: rest), at: written) }
      file.startWriteback(written..<written + rest.count)
      written += rest.count
      return
    }
    while !rest.isEmpty {
      rest = rest.dropFirst(buffer.fill(UnsafeRawBufferPointer(rebasing: rest)))
      guard buffer.isFull else { break }
      try store.failure.watching { try file.writePages(buffer.bytes, at: written) }
      written += buffer.count
      buffer.empty()
    }
  }

  func finish(length: Int, root: Digest) throws -> ChunkDescription {
    try state.withLock { state in
      defer { discard(&state) }
      if case .nowhere = state.place {
        throw DFSError(.failedPrecondition, "the writer of chunk \(plan.chunk) has ended")
      }
      guard length == state.length, length > 0, plan.length ?? length == length else {
        throw DFSError(.invalidArgument, "chunk \(plan.chunk) ends at \(length), \(state.length) bytes came")
      }
      guard state.tree.root == root else {
        throw DFSError(.invalidArgument, "chunk \(plan.chunk) has leaves that do not give its root")
      }
      try store.requireOpen()
      try store.failure.requireWritable()
      let footer = ChunkFooter(
        chunk: plan.chunk, group: plan.group, length: length, root: root, checksums: state.checksums,
        leaves: state.leaves)
      switch state.place {
      case .memory(var payload):
        // Emptied first, or the array would be shared and copied by the append.
        state.place = .nowhere
        payload.append(contentsOf: footer.encoded())
        return try store.publish(payload, footer)
      case .file(let path, let file, let buffer, let written):
        try store.failure.watching {
          if let pages = buffer?.pages, !pages.isEmpty { try file.writePages(pages, at: written) }
          if let rest = buffer?.rest, !rest.isEmpty { try file.write(rest, at: length - rest.count) }
          try footer.encoded().withUnsafeBytes { try file.write($0, at: length) }
          try file.sync()
        }
        let description = try store.publish(temporary: path, footer)
        // The temporary name is gone: nothing to discard.
        state.place = .nowhere
        if let buffer { store.pageBuffers.give(buffer) }
        return description
      case .nowhere:
        throw DFSError(.failedPrecondition, "the writer of chunk \(plan.chunk) has ended")
      }
    }
  }

  func abort() { state.withLock { discard(&$0) } }

  private func discard(_ state: inout State) {
    if case .file(let path, _, let buffer, _) = state.place {
      store.files.removeTemporary(path)
      if let buffer { store.pageBuffers.give(buffer) }
    }
    state.place = .nowhere
    store.claims.release(state.claim)
    state.claim = .zero
  }
}

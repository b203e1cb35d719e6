import COpenSSL

/// Where OpenSSL reads ciphertext from and writes it to: the buffers of the call in progress, through a BIO
/// of our own, so that a connection's bytes are copied once on each way instead of through memory BIOs.
///
/// `input` and `output` are set only while a call of `TLSSession` runs. Output that finds no room there
/// (handshakes, alerts, key updates) waits in `spill`.
final class TLSBuffers {
  private(set) var input = UnsafeRawBufferPointer(start: nil, count: 0)
  private var output = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var outputCount = 0
  private(set) var spill: [UInt8] = []
  /// Whether the peer can send no more, so that an empty input is an end, not a pause.
  var inputHasEnded = false

  /// Runs `body` with `bytes` as what has arrived.
  func reading<Result>(_ bytes: UnsafeRawBufferPointer, _ body: () throws -> Result) rethrows -> Result {
    input = bytes
    defer { input = UnsafeRawBufferPointer(start: nil, count: 0) }
    return try body()
  }

  /// Runs `body`, whose ciphertext goes to `bytes`, behind what has spilled before; gives the count.
  func writing(to bytes: UnsafeMutableRawBufferPointer, _ body: () throws -> Void) rethrows -> Int {
    output = bytes
    outputCount = takeSpill(into: bytes)
    defer {
      output = UnsafeMutableRawBufferPointer(start: nil, count: 0)
      outputCount = 0
    }
    try body()
    return outputCount
  }

  func takeSpill(into bytes: UnsafeMutableRawBufferPointer) -> Int {
    guard !spill.isEmpty else { return 0 }
    let count = min(spill.count, bytes.count)
    spill.withUnsafeBytes { bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
    spill.removeFirst(count)
    return count
  }

  fileprivate func read(into destination: UnsafeMutableRawBufferPointer) -> Int {
    let count = min(destination.count, input.count)
    guard count > 0 else { return 0 }
    destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: input.prefix(count)))
    input = UnsafeRawBufferPointer(rebasing: input.dropFirst(count))
    return count
  }

  fileprivate func write(_ source: UnsafeRawBufferPointer) {
    // Once something has spilled, all that follows must follow it.
    let room = spill.isEmpty ? output.count - outputCount : 0
    let count = min(room, source.count)
    if count > 0 {
      UnsafeMutableRawBufferPointer(rebasing: output[outputCount..<outputCount + count])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source.prefix(count)))
      outputCount += count
    }
    spill += source.dropFirst(count)
  }
}

/// The BIO type over `TLSBuffers`. The `TLSSession` that owns both outlives the BIO.
enum TLSBufferBIO {
  private struct Method: @unchecked Sendable {
    // SAFETY: the method table is filled before it is shared and never changed or freed.
    let pointer: OpaquePointer?
  }

  private static let method: Method = {
    guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "dfs buffers") else {
      return Method(pointer: nil)
    }
    BIO_meth_set_read(method) { bio, destination, count in
      dfs_bio_clear_retry(bio)
      guard let buffers = TLSBufferBIO.buffers(of: bio), let destination, count > 0 else { return 0 }
      // SAFETY: OpenSSL gives `count` writable bytes.
      let taken = buffers.read(into: UnsafeMutableRawBufferPointer(start: destination, count: Int(count)))
      if taken > 0 { return Int32(taken) }
      if buffers.inputHasEnded { return 0 }
      dfs_bio_set_retry_read(bio)
      return -1
    }
    BIO_meth_set_write(method) { bio, source, count in
      dfs_bio_clear_retry(bio)
      guard let buffers = TLSBufferBIO.buffers(of: bio), let source, count > 0 else { return 0 }
      // SAFETY: OpenSSL gives `count` readable bytes.
      buffers.write(UnsafeRawBufferPointer(start: source, count: Int(count)))
      return count
    }
    // A flush must be answered with success, or the handshake stops half-way.
    BIO_meth_set_ctrl(method) { bio, command, _, _ in
      switch command {
      case BIO_CTRL_FLUSH: 1
      case BIO_CTRL_EOF: TLSBufferBIO.buffers(of: bio)?.inputHasEnded == true ? 1 : 0
      default: 0
      }
    }
    return Method(pointer: method)
  }()

  static func make(over buffers: TLSBuffers) throws -> OpaquePointer {
    guard let method = method.pointer, let bio = BIO_new(method) else {
      throw TLSFailure.outOfMemory("a BIO")
    }
    // SAFETY: unretained; the session that owns the buffers frees the BIO first.
    BIO_set_data(bio, Unmanaged.passUnretained(buffers).toOpaque())
    BIO_set_init(bio, 1)
    return bio
  }

  private static func buffers(of bio: OpaquePointer?) -> TLSBuffers? {
    // SAFETY: `make(over:)` has put it there, and it lives as long as the BIO.
    BIO_get_data(bio).map { Unmanaged<TLSBuffers>.fromOpaque($0).takeUnretainedValue() }
  }
}

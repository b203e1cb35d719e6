import DFSCore
import TestSupport

/// One client: does one random operation after another on paths of its own, reads those of the others, and
/// fights with them over a few shared ones. Tells the history what it asks and what it was answered.
///
/// A path whose last change has an unknown outcome is not changed again: then both values stay possible until
/// the end, and whatever else is found there is wrong.
struct ChaosClient {
  static let shared = (0..<3).map { "/shared/\($0)" }

  private struct Deletion {
    var name: String
    var content: Register.Value
    /// Before it was asked for.
    var begun: ContinuousClock.Instant
  }

  let directory: String
  let access: any FileAccess
  let history: History
  private var random: SeededGenerator
  private var paths: [String] = []
  private var nextPath = 0
  private var deletions: [Deletion] = []
  private let ownPaths: Int
  private let largest: Int

  /// Every byte of a change counts several times on two cores, so `largest` bounds the sizes.
  init(
    number: Int, access: any FileAccess, history: History, seed: UInt64, ownPaths: Int = 10,
    largest: Int = 6 << 20
  ) {
    directory = "/client-\(number)"
    self.access = access
    self.history = history
    self.ownPaths = ownPaths
    self.largest = largest
    random = SeededGenerator(seed: seed &+ UInt64(number) &* 0x9E37_79B9)
  }

  /// Works until the time has come, a violation was found, or its task is cancelled.
  mutating func run(until end: ContinuousClock.Instant) async throws {
    for directory in [directory, "/shared"] {
      while ContinuousClock.now < end {
        do {
          try await access.makeDirectory(directory)
          break
        } catch is DFSError {
          // The attack has begun already.
          try await Task.sleep(for: .milliseconds(100))
        }
      }
    }
    while ContinuousClock.now < end, !Task.isCancelled, history.violations.isEmpty {
      await step()
      // Two cores also have to repair.
      try await Task.sleep(for: .milliseconds(Int.random(in: 0...60, using: &random)))
    }
  }

  private mutating func step() async {
    replacePaths()
    let path = paths.randomElement(using: &random) ?? directory
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<40: await put(path)
    case 40..<50: await put(Self.shared.randomElement(using: &random) ?? path)
    case 50..<55: await read(Self.shared.randomElement(using: &random) ?? path)
    case 55..<78: await read(history.paths.randomElement(using: &random) ?? path)
    case 78..<85: await remove(path)
    case 85..<87: await remove(Self.shared.randomElement(using: &random) ?? path)
    case 87..<92: await undelete()
    default: await move(path)
    }
  }

  /// Only paths that are known for certain are changed.
  private mutating func replacePaths() {
    paths = paths.filter { history.certain($0) != nil }
    while paths.count < ownPaths {
      paths.append("\(directory)/\(nextPath)")
      nextPath += 1
    }
  }

  private mutating func newContent() -> Content {
    let length: Int
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<3: length = 0
    case 3..<35: length = Int.random(in: Content.shortest...4096, using: &random)
    case 35..<70: length = Int.random(in: 4097...(256 << 10), using: &random)
    case 70..<95: length = Int.random(in: (256 << 10)...(2 << 20), using: &random)
    default: length = Int.random(in: (2 << 20)...largest, using: &random)
    }
    return Content(seed: random.next(), length: length)
  }

  private mutating func put(_ path: String) async {
    let content = newContent()
    let bytes = content.bytes
    let operation = history.begin([path: .content(content)])
    do {
      try await access.put(bytes, path)
      history.end(operation, "put", .acknowledged)
    } catch {
      history.end(operation, "put", settle(error, "put", path))
    }
  }

  private mutating func read(_ path: String) async {
    let operation = history.beginRead(path)
    do {
      let bytes = try await access.read(path)
      history.endRead(operation, found: bytes)
    } catch let error as DFSError where error.code == .notFound {
      history.endRead(operation, found: nil)
    } catch {
      _ = settle(error, "read", path)
      history.endReadWithoutAnswer(operation)
    }
  }

  private mutating func remove(_ path: String) async {
    let content = history.certain(path)
    guard content != .absent || path.hasPrefix("/shared") else { return }
    let operation = history.begin([path: .absent])
    let look = history.beginRead(path)
    let begun = ContinuousClock.now
    do {
      let deletion = try await access.remove(path)
      history.end(operation, "remove", .acknowledged)
      history.withdraw(look)
      if let deletion, let content, !path.hasPrefix("/shared") {
        deletions.append(Deletion(name: deletion, content: content, begun: begun))
      }
    } catch {
      history.end(operation, "remove", settle(error, "remove", path))
      if (error as? DFSError)?.code == .notFound {
        history.endRead(look, found: nil)
      } else {
        history.withdraw(look)
      }
    }
  }

  private mutating func undelete() async {
    let now = ContinuousClock.now
    deletions.removeAll { $0.begun.duration(to: now) > ChaosSite.trashRetention * 2 }
    guard let target = paths.first(where: { history.certain($0) == .absent }), !deletions.isEmpty else {
      return
    }
    let deletion = deletions.remove(at: Int.random(in: deletions.indices, using: &random))
    let operation = history.begin([target: deletion.content])
    do {
      try await access.undelete(deletion.name, to: target)
      history.end(operation, "undelete", .acknowledged)
    } catch {
      history.end(operation, "undelete", settle(error, "undelete", target))
      let isYoung = deletion.begun.duration(to: .now) < ChaosSite.trashRetention
      switch (error as? DFSError)?.code {
      case .notFound where isYoung, .alreadyExists, .failedPrecondition:
        history.note(target, "deletion \(deletion.name) of \(deletion.content) can not be had back: \(error)")
      default: break
      }
    }
  }

  private mutating func move(_ source: String) async {
    guard let content = history.certain(source), content != .absent,
      let target = paths.randomElement(using: &random), target != source,
      let replaced = history.certain(target)
    else { return }
    let after = [source: Register.Value.absent, target: content]
    let operation = history.begin(after)
    do {
      try await access.move(source, to: target)
      history.end(operation, "move", .acknowledged)
    } catch {
      let outcome = settle(error, "move", source)
      history.end(operation, "move", outcome)
      if outcome == .unknown { history.doubt(from: [source: content, target: replaced], to: after) }
      if (error as? DFSError)?.code == .notFound {
        history.note(source, "could not be moved, for it is gone; it has \(content)")
      }
    }
  }

  /// Some failures mean that something is wrong whatever the faults were.
  private func settle(_ error: any Error, _ kind: String, _ path: String) -> History.Outcome {
    switch (error as? DFSError)?.code {
    case nil, .internal, .invalidArgument, .permissionDenied, .unauthenticated:
      history.note(path, "\(kind) through the \(access.name): \(error)")
    default: break
    }
    return History.Outcome(error)
  }
}

import TestSupport
import Testing

/// The model must find what it is there for.
@Suite struct `The model of a path` {
  private let one = Register.Value.content(Content(seed: 1, length: 100))
  private let two = Register.Value.content(Content(seed: 2, length: 100))

  private func written(_ values: Register.Value...) -> Register {
    var register = Register()
    for (index, value) in values.enumerated() {
      register.begin(index, value, at: index * 10 + 1)
      register.acknowledge(index, at: index * 10 + 2)
    }
    return register
  }

  @Test func `takes what was acknowledged, and nothing before anything was written`() {
    var register = written(one)
    #expect(register.observe(one, from: 50, to: 51) == nil)
    var fresh = Register()
    #expect(fresh.observe(.absent, from: 1, to: 2) == nil)
    #expect(register.certain(at: 60) == one)
  }

  @Test func `finds a lost write`() {
    var register = written(one)
    #expect(register.observe(.absent, from: 50, to: 51) == .lost)
    var overwritten = written(one, two)
    #expect(overwritten.observe(one, from: 50, to: 51) == .lost)
  }

  @Test func `finds what was removed and is back`() {
    var register = written(one, .absent)
    #expect(register.observe(one, from: 50, to: 51) == .resurrected)
  }

  @Test func `finds a write that was reported as failed, seen before or after the report`() {
    var register = written(one)
    register.begin(9, two, at: 50)
    #expect(register.refuse(9) == nil)
    #expect(register.observe(two, from: 60, to: 61) == .refusedButVisible)
    var early = written(one)
    early.begin(9, two, at: 50)
    #expect(early.observe(two, from: 51, to: 52) == nil)
    #expect(early.refuse(9) == .refusedButVisible)
  }

  @Test func `finds what nobody wrote`() {
    var register = written(one)
    #expect(register.observe(two, from: 50, to: 51) == .neverWritten)
  }

  @Test func `takes the old and the new value while a write runs, but no way back`() {
    var register = written(one)
    register.begin(9, two, at: 50)
    #expect(register.observe(one, from: 51, to: 52) == nil)
    #expect(register.observe(two, from: 53, to: 54) == nil)
    #expect(register.observe(one, from: 55, to: 56) == .lost)
  }

  @Test func `takes the old value from a read that began before the write was over`() {
    var register = written(one)
    register.begin(9, two, at: 50)
    register.acknowledge(9, at: 60)
    #expect(register.observe(one, from: 55, to: 70) == nil)
    #expect(register.observe(one, from: 61, to: 70) == .lost)
  }

  @Test func `takes either after an unknown outcome, and is never certain of the path again`() {
    var register = written(one)
    register.begin(9, two, at: 50)
    register.leaveUnknown(9)
    #expect(register.certain(at: 60) == nil)
    #expect(register.observe(one, from: 60, to: 61) == nil)
    #expect(register.observe(two, from: 62, to: 63) == nil)
    #expect(register.observe(one, from: 64, to: 65) == .lost)
    #expect(register.observe(.absent, from: 66, to: 67) == .lost)
  }

  @Test func `takes any order of writes that ran at the same time`() {
    for first in [one, two] {
      var register = Register()
      register.begin(1, one, at: 1)
      register.begin(2, two, at: 2)
      register.acknowledge(1, at: 3)
      register.acknowledge(2, at: 4)
      #expect(register.observe(first, from: 5, to: 6) == nil)
      #expect(register.observe(.absent, from: 7, to: 8) == .lost)
      #expect(register.certain(at: 9) == nil)
    }
  }

  @Test func `forgets what can not be seen any more, and nothing else`() {
    var register = Register()
    for id in 0..<100 {
      register.begin(id, .content(Content(seed: UInt64(id), length: 20)), at: id * 2 + 1)
      register.acknowledge(id, at: id * 2 + 2)
    }
    register.forget(before: 201)
    #expect(register.certain(at: 300) == .content(Content(seed: 99, length: 20)))
    let old = Register.Value.content(Content(seed: 98, length: 20))
    #expect(register.observe(old, from: 300, to: 301) == .neverWritten)
  }

  @Test func `agrees with a register that a random schedule really runs on`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<200 {
      var register = Register()
      var held = Register.Value.absent
      var time = 0
      var running: [(id: Int, value: Register.Value)] = []
      for id in 0..<60 {
        time += 1
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
          let isRemoval = Int.random(in: 0..<4, using: &random) == 0
          let value: Register.Value =
            isRemoval ? .absent : .content(Content(seed: UInt64(id + 1), length: 16))
          register.begin(id, value, at: time)
          running.append((id, value))
        case 1 where !running.isEmpty:
          let (ended, value) = running.remove(at: Int.random(in: 0..<running.count, using: &random))
          switch Int.random(in: 0..<4, using: &random) {
          case 0: #expect(register.refuse(ended) == nil)
          case 1: register.leaveUnknown(ended)
          default:
            held = value
            register.acknowledge(ended, at: time)
          }
        default:
          time += 1
          #expect(register.observe(held, from: time - 1, to: time) == nil)
        }
      }
    }
  }
}

@Suite struct `Contents that are derived from a seed` {
  @Test(arguments: [0, 16, 17, 23, 24, 4096, 4097, 65_535, 65_536, 65_537, 3 << 20 | 5])
  func `are recognized, and not with one wrong byte`(length: Int) throws {
    let content = Content(seed: 0xFEED_0BEE, length: length)
    var bytes = content.bytes
    #expect(bytes.count == length)
    #expect(Content(recognizing: bytes) == content)
    guard length > 0 else { return }
    for place in [0, 9, length / 2, length - 1] {
      bytes[place] ^= 0x40
      #expect(Content(recognizing: bytes) != content)
      bytes[place] ^= 0x40
    }
    #expect(Content(recognizing: bytes.dropLast()) == nil)
  }

  @Test func `show exchanged blocks`() {
    var bytes = Content(seed: 7, length: 4 << 16).bytes
    let second = Array(bytes[(1 << 16)..<(2 << 16)])
    bytes.replaceSubrange((1 << 16)..<(2 << 16), with: bytes[(2 << 16)..<(3 << 16)])
    bytes.replaceSubrange((2 << 16)..<(3 << 16), with: second)
    #expect(Content(recognizing: bytes) == nil)
  }
}

@Suite struct `The history of a run` {
  private func note(_ history: History, _ path: String, _ content: Content) {
    history.end(history.begin([path: .content(content)]), "put", .acknowledged)
  }

  @Test func `notes wrong bytes, lost files and what came back`() {
    let content = Content(seed: 5, length: 1000)
    let history = History()
    note(history, "/a", content)
    history.endRead(history.beginRead("/a"), found: content.bytes)
    #expect(history.violations.isEmpty)
    var bad = content.bytes
    bad[700] ^= 1
    history.endRead(history.beginRead("/a"), found: bad)
    #expect(history.violations.count == 1)
    history.endRead(history.beginRead("/a"), found: nil)
    #expect(history.violations.count == 2)
    history.end(history.begin(["/a": .absent]), "remove", .acknowledged)
    history.endRead(history.beginRead("/a"), found: content.bytes)
    #expect(history.violations.count == 3)
  }

  @Test func `is certain of what was just written, and of what nobody wrote`() {
    let history = History()
    #expect(history.certain("/a") == .absent)
    for seed in 1...3 as ClosedRange<UInt64> {
      let content = Content(seed: seed, length: 100)
      note(history, "/a", content)
      #expect(history.certain("/a") == .content(content))
    }
    history.end(history.begin(["/a": .absent]), "remove", .unknown)
    #expect(history.certain("/a") == nil)
  }

  @Test func `notes half of a move, and takes a whole one or none`() {
    let content = Register.Value.content(Content(seed: 5, length: 1000))
    let before = ["/a": content, "/b": Register.Value.absent]
    let after = ["/a": Register.Value.absent, "/b": content]
    let history = History()
    history.doubt(from: before, to: after)
    history.judgeDoubts(before)
    history.judgeDoubts(after)
    #expect(history.violations.isEmpty)
    history.judgeDoubts(["/a": content, "/b": content])
    history.judgeDoubts(["/a": .absent, "/b": .absent])
    #expect(history.violations.count == 2)
  }
}

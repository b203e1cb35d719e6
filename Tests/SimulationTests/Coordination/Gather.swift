/// Many calls at once: `then` runs when the last of them has ended. The order of the answers is that of the
/// calls, whatever the network does.
func gather<Input, Output>(
  _ inputs: [Input], _ start: (Input, _ done: @escaping (Output) -> Void) -> Void,
  then: @escaping ([Output]) -> Void
) {
  guard !inputs.isEmpty else { return then([]) }
  let gathered = Gathered<Output>(count: inputs.count, then)
  for (place, input) in inputs.enumerated() {
    start(input) { output in gathered.put(output, at: place) }
  }
}

private final class Gathered<Output> {
  private var outputs: [Output?]
  private var missing: Int
  private let then: ([Output]) -> Void

  init(count: Int, _ then: @escaping ([Output]) -> Void) {
    outputs = Array(repeating: nil, count: count)
    missing = count
    self.then = then
  }

  func put(_ output: Output, at place: Int) {
    guard outputs[place] == nil else { return }
    outputs[place] = output
    missing -= 1
    if missing == 0 { then(outputs.compactMap { $0 }) }
  }
}

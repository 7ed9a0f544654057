/** The start image: drop, paste, pick or photograph it; it is shown cropped as the video will be. */
import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { IconButton } from '../parts/button'
import { Icon } from '../parts/icon'
import { words } from '../words'
import { change, draft, type Picture } from './draft'
import { askAbout, holdsSettings, isForFarm } from '../file/settings'
import { faults } from './faults'
import { cutOff, fitting } from './length'
import { dropped } from './many'
import { filesOf, readPicture } from './picture'
import { shape } from './estimate'

const MUCH = 0.25 //: of a picture cut off: worth a word

export function PictureField() {
  const isOver = useSignal(false)
  const { image } = draft.value
  const fault = faults.value['input_reference']
  const frame = shape.value
  useEffect(() => {
    const paste = (event: ClipboardEvent): void => {
      takeAll(filesOf(event.clipboardData))
    }
    addEventListener('paste', paste)
    return () => removeEventListener('paste', paste)
  }, [])
  return (
    <div
      class={`picture-field ${isOver.value ? 'over' : ''}`}
      onDragOver={(event) => {
        event.preventDefault()
        isOver.value = true
      }}
      onDragLeave={() => (isOver.value = false)}
      onDrop={(event) => {
        event.preventDefault()
        isOver.value = false
        takeAll(filesOf(event.dataTransfer))
      }}
    >
      <div class="frame" style={fitting(frame ?? [16, 9])}>
        {image ? <Shown picture={image} /> : <p class="soft">{words.create.dropHere}</p>}
        <label class={`pick ${image ? 'over-picture' : ''}`}>
          <Icon name="image" />
          {image ? words.create.replace : words.create.choose}
          <input id="start-image" class="unseen" type="file" accept="image/*,.txt,.mp4,.json,.zip" aria-label={words.create.image} aria-invalid={fault !== undefined} aria-describedby="start-image-fault" multiple onChange={(event) => pick(event.currentTarget)} />
        </label>
        {!image && (
          <label class="pick camera">
            <Icon name="camera" />
            {words.create.photograph}
            <input class="unseen" type="file" accept="image/*" capture="environment" onChange={(event) => pick(event.currentTarget)} />
          </label>
        )}
        {image && <IconButton icon="x" name={words.create.removeImage} class="remove" onClick={() => change({ image: null })} />}
      </div>
      <p class="small number">
        <span id="start-image-fault" class="bad">{fault}</span>
        {!fault && image && frame && <Made picture={image} frame={frame} />}
      </p>
    </div>
  )
}

function Shown({ picture }: { picture: Picture }) {
  const address = useMemo(() => URL.createObjectURL(picture.blob), [picture.blob])
  useEffect(() => () => URL.revokeObjectURL(address), [address])
  return <img src={address} alt={picture.name} />
}

function Made({ picture, frame }: { picture: Picture; frame: [number, number] }) {
  const lost = cutOff([picture.width, picture.height], frame)
  return (
    <span class="soft">
      {words.create.madeIn(frame[0], frame[1])}
      {lost > MUCH && ` ${words.create.cutOff(Math.round(lost * 100))}`}
    </span>
  )
}

function pick(input: HTMLInputElement): void {
  takeAll(Array.from(input.files ?? []))
  input.value = '' // picking the same file once more is a change, too
}

/** Take dropped, pasted or picked files: one picture is the start image; several, and other files, ask what is meant. */
export function takeAll(files: readonly File[]): void {
  const pictures = files.filter((file) => !isForFarm(file))
  askAbout(files.filter(isForFarm))
  const [file] = pictures
  if (pictures.length > 1) dropped.value = pictures
  else if (file) void take(file)
}

async function take(file: File): Promise<void> {
  const { input_reference: _, ...others } = faults.value
  try {
    change({ image: await readPicture(file, file.name) })
    faults.value = others
    if (await holdsSettings(file)) askAbout([file])
  } catch (error) {
    faults.value = { ...others, input_reference: (error as Error).message }
  }
}

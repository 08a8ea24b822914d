import { createApp } from 'vue'

import App from './App.vue'
import { readPage, socketUrl } from './page'
import { fetchToken } from './session'
import './styles/board.css'
import './styles/page.css'
import './styles/table.css'
import './styles/top-bar.css'
import { WdsClient } from './wds'

const page = readPage(document)
const client = new WdsClient({
  url: socketUrl(page, location),
  token: page.token,
  fetchToken: () => fetchToken(page.token_url, page.csrf_token),
})
addEventListener('online', () => client.setOnline(true))
addEventListener('offline', () => client.setOnline(false))
client.start()
createApp(App, { page, client }).mount('#app')
